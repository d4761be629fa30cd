// For admins: the settings of the server, and invitations to register.

import { signed } from "./api.js";
import { button, el, field, form, say, show } from "./dom.js";

const MODES = {
  open: "Everybody", email_suffix: "Addresses that end in one of these", invitation_only: "Only who is invited",
};
const LARGEST = 36000; // bytes of a picture; the server takes 50,000 characters

export async function administration(brand) {
  const [settings, invitations] = [await signed("PATCH", "/settings", {}), await signed("GET", "/invitations")];
  const again = () => administration(brand);
  const mode = el("select", { name: "mode" }, Object.entries(MODES).map(([value, text]) =>
    el("option", { value, selected: value === settings.registration_mode }, text)));
  show("Administration",
    el("section", { class: "card" }, el("h2", {}, "Settings"),
      form("Save", async (data) => {
        const change = {
          server_name: data.get("name"),
          registration_mode: data.get("mode"),
          allowed_email_suffixes: data.get("suffixes").split(/[\s,;]+/).filter(Boolean),
        };
        if (data.get("picture").size) change.server_picture = await picture(data.get("picture"));
        brand(await signed("PATCH", "/settings", change));
        say("Saved.");
      },
      field("Name of the server", el("input", { name: "name", required: true, maxlength: "255", value: settings.server_name })),
      field("Picture", el("input", { type: "file", name: "picture", accept: "image/*" }), "36 KB at most"),
      field("Who may register", mode),
      field("Suffixes", el("input", { name: "suffixes", value: settings.allowed_email_suffixes.join(", ") }),
        "example.org for this host alone, .org for all below it"))),
    settings.server_picture ? el("p", {}, button("Remove the picture", async () => {
      brand(await signed("PATCH", "/settings", { server_picture: null }));
      await again();
    })) : null,
    el("section", { class: "card" }, el("h2", {}, "Invitations"),
      form("Invite", async (data) => {
        await signed("POST", "/invitations", { email: data.get("email") });
        await again();
      }, field("E-mail address", el("input", { type: "email", name: "email", required: true }), "They get a code that is good for 48 hours.")),
      el("ul", { class: "plain" }, invitations.map((one) => el("li", {},
        el("span", {}, one.email, el("span", { class: "soft" }, one.used ? " · used" : ` · code ${one.token}`)),
        button(`Delete the invitation of ${one.email}`, async () => {
          await signed("DELETE", `/invitations/${one.id}`);
          await again();
        }, "danger"))))));
}

function picture(file) {
  if (file.size > LARGEST) throw new Error("The picture is too large: 36 KB at most.");
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}
