// The page: which view is shown, signing in and out, and the server's name and picture.

import { begin, ask, canSign, current, forget, keep, signed } from "./api.js";
import { button, el, field, form, say, show } from "./dom.js";
import { administration } from "./administration.js";
import { guest } from "./guest.js";
import { meeting, meetings, newMeeting } from "./meetings.js";

const link = /^\/join\/([^/]+)$/.exec(location.pathname);
let isAdmin = false;
let leave = () => {};

async function start() {
  await begin(route);
  try {
    brand(await ask("GET", "/settings"));
  } catch (error) {
    show("Not now", el("p", { class: "card pre" }, error.message), button("Try again", () => location.reload(), "main"));
    return;
  }
  window.addEventListener("hashchange", route);
  await learn();
  route();
}

function brand(settings) {
  document.getElementById("name").textContent = settings.server_name || "Meeting Server";
  const picture = document.getElementById("picture");
  // Only a picture that comes with the settings: one from another host would tell it who is here.
  picture.hidden = !(settings.server_picture || "").startsWith("data:image/");
  if (!picture.hidden) picture.src = settings.server_picture;
}

async function learn() {
  isAdmin = false;
  if (!current()) return;
  try {
    await signed("GET", "/invitations");
    isAdmin = true;
  } catch { /* not for this user */ }
}

function navigation(place) {
  const nav = document.getElementById("nav");
  nav.hidden = !current();
  const to = (where, text) =>
    el("a", { href: `/#/${where}`, "aria-current": place === where ? "page" : null }, text);
  nav.replaceChildren(
    to("", "Meetings"), to("new", "New meeting"), ...(isAdmin ? [to("administration", "Administration")] : []),
    to("devices", "Devices"), button("Sign out", signOut));
}

function route() {
  leave();
  leave = () => {};
  say("");
  if (link) return guest(link[1]);
  const [place = "", id] = location.hash.replace(/^#\/?/, "").split("/");
  navigation(place);
  if (!current()) return signIn();
  const views = {
    "": () => meetings(),
    new: () => newMeeting(),
    meeting: () => meeting(decodeURIComponent(id)),
    administration: () => administration(brand),
    devices: () => devices(),
  };
  const work = (views[place] ?? views[""])();
  Promise.resolve(work).then((stop) => {
    if (typeof stop === "function") leave = stop;
  }, (error) => say(error.message));
}

function signIn() {
  if (!canSign()) {
    show("Sign in", el("p", { class: "card" },
      "This page can't sign requests here: a browser allows that over HTTPS or on localhost only."));
    return;
  }
  const email = el("input", { type: "email", name: "email", required: true, autocomplete: "email" });
  show("Sign in", el("section", { class: "card narrow" },
    form("Send me a code", async (data) => {
      await ask("POST", "/sign-in", { email: data.get("email") });
      enterCode(data.get("email"));
    }, field("E-mail address", email, "You get a code of six digits."))));
}

function enterCode(email) {
  const code = el("input", {
    name: "code", required: true, inputmode: "numeric", pattern: "[0-9]{6}", autocomplete: "one-time-code",
    maxlength: "6", title: "six digits",
  });
  show("Enter the code", el("section", { class: "card narrow" },
    el("p", {}, `If this server lets ${email} in, a code is on its way. The code of an invitation works, too.`),
    form("Sign in", async (data) => {
      await keep(await ask("POST", "/sessions", {
        email, code: data.get("code"), device_info: navigator.userAgent.replace(/[^\x20-\x7e]/g, "").slice(0, 255),
      }));
      await learn();
      route();
    }, field("Code", code)),
    el("p", {}, button("Use another address", signIn))));
  code.focus();
}

async function signOut() {
  await signed("DELETE", `/sessions/${encodeURIComponent(current().client_id)}`).catch(() => {});
  await forget();
  isAdmin = false;
  location.hash = "#/";
  route();
}

async function devices() {
  const found = await signed("GET", "/sessions");
  show("Devices", el("section", { class: "card" }, el("ul", { class: "plain" }, found.map((device) =>
    el("li", {},
      el("span", {}, device.device_info || "unknown device",
        el("br"), el("span", { class: "soft" }, device.is_this ? "this one" : `last used ${new Date(device.last_used).toLocaleString()}`)),
      device.is_this ? null : button("Sign out", async () => {
        await signed("DELETE", `/sessions/${encodeURIComponent(device.client_id)}`);
        await devices();
      }, "danger"))))));
}

start();
