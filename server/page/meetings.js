// Meetings: the list, a new one, and one meeting with its link and its lobby.

import { current, signed } from "./api.js";
import { button, check, el, field, form, say, show, when } from "./dom.js";

const EVERY = 2000; // ms between two looks at a lobby
const FILTERS = { upcoming: "Upcoming", past: "Past", mine: "Mine" };
const ROLES = { meeting_owner: "owner", meeting_manager: "manager", meeting_member: "" };
const place = (id) => `/meetings/${encodeURIComponent(id)}`;

export async function meetings(filter = "upcoming") {
  const list = el("ul", { class: "plain" });
  const more = el("div", {});
  const buttons = Object.entries(FILTERS).map(([name, text]) =>
    el("button", { type: "button", "aria-pressed": String(name === filter), onclick: () => meetings(name) }, text));
  const add = async (cursor) => {
    const query = new URLSearchParams({ filter, limit: "20", ...(cursor ? { cursor } : {}) });
    const page = await signed("GET", `/meetings?${query}`);
    list.append(...page.meetings.map((one) => el("li", {}, el("span", {},
      el("a", { href: `/#/meeting/${encodeURIComponent(one.meeting_id)}` }, one.title),
      el("br"), el("span", { class: "soft" }, when(one.start_time, one.end_time))))));
    more.replaceChildren(...(page.cursor ? [button("More", () => add(page.cursor))] : []));
  };
  await add();
  show("Meetings",
    el("div", { class: "row" }, buttons, el("span", {}), button("Start a call now", async () => {
      const made = await signed("POST", "/calls", { allow_external: true });
      location.hash = `#/meeting/${made.meeting_id}`;
    })),
    el("section", { class: "card", "aria-label": FILTERS[filter] },
      list.children.length ? list : el("p", {}, "None yet. ", el("a", { href: "/#/new" }, "Plan a meeting")), more));
}

// Of an input of the kind datetime-local, which is in the time of this place.
const local = (date) => new Date(date - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);

export function newMeeting() {
  const start = new Date(Math.ceil((Date.now() + 1) / 3600000) * 3600000);
  const end = new Date(start.getTime() + 3600000);
  const time = (name, date) => el("input", { type: "datetime-local", name, required: true, value: local(date) });
  show("New meeting", el("section", { class: "card" },
    form("Plan the meeting", async (data) => {
      const made = await signed("POST", "/meetings", {
        title: data.get("title"),
        description: data.get("description") || null,
        start_time: new Date(data.get("start")).toISOString(),
        end_time: new Date(data.get("end")).toISOString(),
        invited_participants: data.get("invited").split(/[\s,;]+/).filter(Boolean),
        allow_external: data.has("guests"),
        voice_only: data.has("voice"),
        mute_on_join: data.has("mute"),
      });
      location.hash = `#/meeting/${made.meeting_id}`;
    },
    field("Title", el("input", { name: "title", required: true, maxlength: "255" })),
    el("div", { class: "pair" }, field("Begins", time("start", start)), field("Ends", time("end", end))),
    field("Description", el("textarea", { name: "description", maxlength: "10000" })),
    field("Invite", el("textarea", { name: "invited" }), "E-mail addresses, with commas or spaces between them"),
    check("Make a link for guests", "guests", true),
    check("Voice only", "voice"),
    check("Everybody joins muted", "mute"))));
}

// Gives a function that ends its looks at the lobby.
export async function meeting(id) {
  const one = await signed("GET", place(id));
  const mine = one.participants.find((p) => same(p.user_id, current().user_id));
  const isOwner = same(one.created_by, current().user_id);
  const again = () => { location.hash === `#/meeting/${id}` ? window.dispatchEvent(new Event("hashchange")) : null; };
  const lobby = el("section", { class: "card", "aria-label": "Lobby" });
  const wait = await lobbyOf(id, lobby);
  show(one.title,
    el("p", { class: "soft" }, when(one.start_time, one.end_time), ` · by ${one.created_by}`),
    one.description ? el("p", { class: "card pre" }, one.description) : null,
    isOwner ? linkOf(one, again) : null,
    wait ? lobby : null,
    el("section", { class: "card" }, el("h2", {}, "Participants"),
      el("ul", { class: "plain" }, one.participants.map((p) => el("li", {}, el("span", {}, p.user_id,
        el("span", { class: "soft" }, [ROLES[p.role], p.answer, p.is_present ? "here" : ""].filter(Boolean).map((t) => ` · ${t}`).join("")))))),
      mine && !isOwner ? answers(id, mine, again) : null,
      isOwner ? form("Invite", async (data) => {
        await signed("PUT", `${place(id)}/participants/${encodeURIComponent(data.get("email"))}`, {});
        again();
      }, field("E-mail address", el("input", { type: "email", name: "email", required: true }))) : null),
    el("div", { class: "row" },
      button("Add to my calendar", async () => {
        const url = URL.createObjectURL(await signed("GET", `${place(id)}.ics`, undefined, { raw: true }));
        el("a", { href: url, download: `${id}.ics` }).click();
        URL.revokeObjectURL(url);
      }),
      isOwner ? button("Delete the meeting", async () => {
        if (!confirm(`Delete “${one.title}”? Its guests have to go.`)) return;
        await signed("DELETE", place(id));
        location.hash = "#/";
      }, "danger") : null));
  return wait ?? undefined;
}

const same = (a, b) => a.toLowerCase() === b.toLowerCase();

function answers(id, mine, again) {
  const choice = { accepted: "Accept", tentative: "Maybe", declined: "Decline" };
  return el("div", { class: "row", role: "group", "aria-label": "My answer" }, Object.entries(choice).map(([answer, text]) =>
    el("button", {
      type: "button", "aria-pressed": String(mine.answer === answer),
      onclick: () => signed("PUT", `${place(id)}/participants/${encodeURIComponent(mine.user_id)}`, { answer }).then(again, (e) => say(e.message)),
    }, text)));
}

function linkOf(one, again) {
  const url = one.invitation_token ? `${location.origin}/join/${one.invitation_token}` : null;
  const make = async () => { await signed("POST", `${place(one.meeting_id)}/link`); again(); };
  return el("section", { class: "card" }, el("h2", {}, "Link for guests"),
    url ? el("p", {}, el("output", { id: "link" }, url)) : el("p", {}, "There is none: only who is invited can come."),
    el("div", { class: "row" },
      url ? button("Copy", async () => { await navigator.clipboard.writeText(url); say("Copied."); }, "main") : null,
      button(url ? "Make a new one" : "Make a link", make),
      url ? button("Close it", async () => { await signed("DELETE", `${place(one.meeting_id)}/link`); again(); }, "danger") : null));
}

// Looks at once and then again and again.  Null for whoever may not decide.
async function lobbyOf(id, section) {
  const list = el("ul", { class: "plain" });
  const count = el("p", { role: "status", class: "soft" });
  section.replaceChildren(el("h2", {}, "Lobby"), count, list);
  const rows = new Map();
  const decide = (guest, what) => async () => {
    await signed("POST", `${place(id)}/guests/${encodeURIComponent(guest.session_id)}/${what}`);
    await look();
  };
  const states = new Map([[null, "registered"], [false, "asks to be let in"], [true, "is in"]]);
  const look = async () => {
    const guests = await signed("GET", `${place(id)}/guests`);
    const asking = guests.filter((guest) => guest.admitted === false).length;
    const text = guests.length ? `${asking} waiting, ${guests.filter((g) => g.admitted).length} in` : "Nobody yet. Guests who ask show up here.";
    if (count.textContent !== text) count.textContent = text;
    const seen = new Set();
    for (const guest of guests) {
      seen.add(guest.session_id);
      const known = rows.get(guest.session_id);
      if (known?.state === guest.admitted) continue; // it keeps the focus of the keyboard
      const row = el("li", {},
        el("span", {}, guest.display_name, el("span", { class: guest.admitted ? "good" : "soft" }, ` · ${states.get(guest.admitted)}`)),
        guest.admitted === false ? el("div", { class: "row" },
          button(`Admit ${guest.display_name}`, decide(guest, "admit"), "main"),
          button(`Decline ${guest.display_name}`, decide(guest, "decline"))) : null);
      known ? known.row.replaceWith(row) : list.append(row);
      rows.set(guest.session_id, { row, state: guest.admitted });
    }
    for (const [key, { row }] of rows) {
      if (!seen.has(key)) { row.remove(); rows.delete(key); }
    }
  };
  try {
    await look();
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
  let isWaiting = true;
  const loop = async () => {
    while (isWaiting) {
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? EVERY * 5 : EVERY));
      if (isWaiting && current()) await look().catch((error) => { count.textContent = error.message; });
    }
  };
  loop();
  return () => { isWaiting = false; };
}
