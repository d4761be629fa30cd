// Elements made of text alone: nothing on this page is ever parsed as HTML.

export function el(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== false));
  return element;
}

export const field = (label, input, hint) => el("label", {}, label, hint ? el("small", {}, hint) : null, input);
export const check = (label, name, checked = false) =>
  el("label", { class: "check" }, el("input", { type: "checkbox", name, checked }), label);

// A button whose work is told and never done twice at once.
export function button(text, work, kind = "") {
  return el("button", { type: "button", class: kind, onclick: (event) => busy(event.currentTarget, work) }, text);
}

export function form(submit, work, ...children) {
  const send = el("button", { class: "main" }, submit);
  return el("form", {
    onsubmit(event) {
      event.preventDefault();
      busy(send, () => work(new FormData(event.target), event.target));
    },
  }, ...children, send);
}

async function busy(control, work) {
  control.disabled = true;
  say("");
  try {
    await work();
  } catch (error) {
    say(error.message);
  } finally {
    control.disabled = false;
  }
}

export function say(text) {
  document.getElementById("said").textContent = text;
}

// Replace the content, and take the focus of the keyboard and of screen readers along.
export function show(title, ...children) {
  const heading = el("h1", { tabindex: "-1" }, title);
  document.getElementById("main").replaceChildren(heading, ...children.flat().filter(Boolean));
  document.title = title;
  heading.focus();
}

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

export function when(start, end) {
  if (!start || !end) return "at no known time";
  const [from, to] = [new Date(start), new Date(end)];
  const isOneDay = from.toDateString() === to.toDateString();
  return `${moment.format(from)} – ${(isOneDay ? hour : moment).format(to)}`;
}
