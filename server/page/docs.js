// The API, as /openapi.json describes it.

import { ask } from "./api.js";
import { el, say, show } from "./dom.js";

const SECURITY = { signature: "signed by a session", guest: "the guest's secret as bearer token" };

const name = (ref) => ref.split("/").pop();
function type(schema) {
  if (!schema) return "";
  if (schema.$ref) return el("a", { href: `#${name(schema.$ref)}` }, name(schema.$ref));
  if (schema.anyOf) return schema.anyOf.flatMap((one, place) => (place ? [" or ", type(one)] : [type(one)])).flat();
  if (schema.type === "array") return ["list of ", type(schema.items)].flat();
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  return [schema.type, schema.format, schema.pattern ? `matching ${schema.pattern}` : "", schema.maxLength ? `up to ${schema.maxLength}` : ""].filter(Boolean).join(", ");
}
const json = (content) => content?.["application/json"]?.schema;
const row = (head, ...cells) => el("tr", {}, el("th", { scope: "row" }, head), cells.map((cell) => el("td", {}, cell)));

function operation(method, path, one) {
  const who = (one.security ?? []).flatMap((scheme) => Object.keys(scheme)).map((scheme) => SECURITY[scheme]);
  return el("section", { class: "card" },
    el("h2", {}, el("code", {}, `${method.toUpperCase()} ${path}`)),
    el("p", {}, one.description ?? one.summary),
    el("table", {}, el("tbody", {},
      row("For", who.length ? who.join(", ") : "everybody"),
      (one.parameters ?? []).map((p) => row(`${p.name} (${p.in})`, [type(p.schema), p.description ? `. ${p.description}` : ""].flat())),
      one.requestBody ? row("Body", type(json(one.requestBody.content))) : null,
      Object.entries(one.responses).map(([status, answer]) => row(status, [answer.description, " ", type(json(answer.content)) || ""].flat())))));
}

function shape(title, one) {
  const required = new Set(one.required ?? []);
  return el("section", { class: "card", id: title }, el("h2", {}, title), one.description ? el("p", {}, one.description) : null,
    el("table", {}, el("tbody", {}, Object.entries(one.properties ?? {}).map(([key, value]) =>
      row(key, type(value), [required.has(key) ? "required. " : "", value.description ?? ""].join(""))))));
}

try {
  const api = await ask("GET", "/openapi.json");
  show(`${api.info.title} ${api.info.version}`,
    Object.entries(api.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => operation(method, path, one))),
    el("h1", {}, "Shapes"), Object.entries(api.components.schemas).map(([title, one]) => shape(title, one)));
} catch (error) {
  say(error.message);
}
