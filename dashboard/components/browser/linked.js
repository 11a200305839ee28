// Draws link cards and link tables from data. Text goes in as text nodes only, so data can never become markup.

function element(tag, className, children = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SCROLLED = "pneumoscope.scrolled ";
let returning = null; // how far down the page is to be scrolled that is being drawn
let place = location.pathname; // of the page whose parts were drawn last

function scrolling() {
  return document.querySelector("[data-testid=stMain]");
}

// A step of the browser's own leads to where the reader was on the page; the one that `navigate` makes, to its top.
addEventListener("popstate", (event) => {
  returning = event.isTrusted ? Number(sessionStorage.getItem(SCROLLED + location.href)) || null : null;
});

// Another page begins at its top. Not by itself: where it comes at once with the end of the former one, a slow browser
// never sees an empty page, and stays where that was.
function arrive() {
  if (location.pathname !== place) returning ??= 0;
  place = location.pathname;
  settle();
}

// The page grows while it is drawn: scroll once it is long enough, and hold it there until it has been whole for half a
// second, unless the reader scrolls.
function settle(until = 0, whole = 0) {
  const page = scrolling();
  if (returning === null || !page) return;
  if (page.scrollHeight - page.clientHeight >= returning) page.scrollTo({ top: returning, behavior: "instant" });
  const drawing = document.querySelector("[data-testid=stApp][data-test-script-state=running]") !== null;
  const held = drawing || Math.abs(page.scrollTop - returning) > 1 ? 0 : whole + 1;
  if (drawing || !until) until = performance.now() + 10_000; // it may be shorter now, and never long enough
  if (held < 30 && performance.now() < until) requestAnimationFrame(() => settle(until, held));
  else returning = null;
}
for (const act of ["wheel", "keydown", "pointerdown"]) addEventListener(act, () => (returning = null), { passive: true });

// Changes page inside the session, the way the browser's back button does. Until the page that was asked for is drawn,
// the links of the former one are still there: following one twice is one step.
function navigate(href) {
  if (href === location.href) return;
  sessionStorage.setItem(SCROLLED + location.href, scrolling()?.scrollTop ?? 0);
  history.pushState({}, "", href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

// A plain click stays in the session; other clicks open a new tab, as for any link. A file is no page: the browser
// saves it, or shows in a tab of its own why it cannot be had. What leads to a part of this page is no step: it scrolls.
function anchor(href, className, children) {
  const made = element("a", className, children);
  made.href = href;
  if (made.pathname.startsWith("/app/static/")) {
    made.target = "_blank";
    made.rel = "noopener";
    return made;
  }
  if (href.startsWith("#")) {
    made.addEventListener("click", (event) => {
      event.preventDefault();
      document.getElementById(href.slice(1))?.scrollIntoView();
    });
    return made;
  }
  made.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
    event.preventDefault();
    navigate(made.href);
  });
  return made;
}

// A box that picks an item. With shift the items between it and the one picked last are picked as well.
function pick(items, at, picked, send) {
  const made = element("input", "pick");
  made.type = "checkbox";
  made.checked = picked.has(items[at].id);
  made.setAttribute("aria-label", `Select image ${items[at].id}`);
  made.addEventListener("click", (event) => {
    const from = event.shiftKey && picked.last !== undefined ? items.findIndex((item) => item.id === picked.last) : at;
    const [first, last] = [Math.min(from < 0 ? at : from, at), Math.max(from, at)];
    for (const item of items.slice(first, last + 1)) made.checked ? picked.add(item.id) : picked.delete(item.id);
    picked.last = items[at].id;
    for (const box of made.getRootNode().querySelectorAll(".pick")) box.checked = picked.has(Number(box.value));
    send();
  });
  made.value = items[at].id;
  return made;
}

function card(item) {
  const image = element("img");
  image.alt = item.alt;
  image.loading = "lazy";
  image.decoding = "async";
  image.addEventListener("error", () => {
    image.replaceWith(element("span", "absent", ["file missing"]));
  });
  image.src = item.src;
  const mark = item.mark ? element("span", `mark ${item.tone || ""}`, [item.mark]) : null;
  const title = element("span", "title", [element("span", "", [item.title]), mark]);
  const lines = item.lines.map((line) => {
    const made = element("span", "line", [line]);
    made.title = line; // for what the card is too narrow
    return made;
  });
  const main = anchor(item.href, "card", [element("span", "film", [image]), title, ...lines]);
  const more = item.more ? anchor(item.more[1], "more", [item.more[0]]) : null;
  if (more) more.setAttribute("aria-label", `${item.more[0]}: ${item.alt}`);
  return element("li", "", [main, more].filter(Boolean));
}

// A term with what it means, shown on pointing and on focus.
function term(text, meaning) {
  if (!meaning) return text;
  const made = element("span", "term", [text, element("span", "meaning", [meaning])]);
  made.tabIndex = 0;
  const shown = made.lastChild;
  shown.setAttribute("role", "tooltip");
  const place = () => { // fixed, because the table cuts off what leaves it
    const { left, bottom } = made.getBoundingClientRect();
    shown.style.left = `${Math.max(8, Math.min(left, innerWidth - 300))}px`;
    shown.style.top = `${bottom + 4}px`;
  };
  made.addEventListener("pointerenter", place);
  made.addEventListener("focus", place);
  return made;
}

// A value and what stands in brackets after it: where the table is narrow that goes under the value, and neither breaks.
function pieces(text) {
  return text.split(/ (?=\()/).flatMap((piece, at) => [at ? " " : "", element("span", "whole", [piece])]);
}

function cell(content, column, head) {
  const text = column.align === "right" ? pieces(content.text) : [content.text];
  const told = content.meaning ? [term(content.text, content.meaning)] : text;
  const inner = content.href ? [anchor(content.href, "", text)] : told;
  const made = element(head ? "th" : "td", `${column.align || "left"} ${content.tone || ""}`, inner);
  if (head) made.scope = "row";
  // on a phone the table scrolls rather than set one word below the other
  if (content.text.length > 40) made.classList.add("prose");
  else if (head && content.text.includes(" ")) made.classList.add("words");
  if (/\S{25}/.test(content.text)) made.classList.add("long");
  if (content.help) made.title = content.help;
  return made;
}

function tile(item) {
  const lines = item.lines.map((line) => element("span", "line", [line]));
  const link = item.link ? anchor(item.link[1], "more", [item.link[0]]) : null;
  const name = element("span", "name", [term(item.name, item.meaning)]);
  return element("li", "tile", [name, element("span", "value", [item.value]), ...lines, link]);
}

function step(content) {
  const inner = content.href ? anchor(content.href, "", [content.text]) : content.text;
  const made = element("li", content.tone || "", [inner]);
  if (content.help) made.title = content.help;
  return made;
}

// Arrow keys follow the links that name them, unless a slider or a field has the focus and needs them itself.
function follow(steps, event) {
  if (event.repeat || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return;
  if (event.target.closest?.("input, textarea, select, [role=slider], [role=radiogroup], [contenteditable=true]")) return;
  const at = steps.findIndex((content) => content.href && content.key === event.key);
  if (at >= 0) navigate(new URL(steps[at].href, location.href).href);
}

function table(data, box) {
  const heads = data.columns.map((column) => {
    if (!column.text) return element("td");
    const made = element("th", column.align || "left", [term(column.text, column.meaning)]);
    made.scope = "col";
    return made;
  });
  if (box) heads.unshift(element("td", "", []));
  const rows = data.rows.map((row, place) => {
    const cells = row.map((content, at) => cell(content, data.columns[at], at === 0));
    return element("tr", "", box ? [element("td", "", [box(place)]), ...cells] : cells);
  });
  const made = element("table", "", [
    element("caption", "", [data.caption]),
    element("thead", "", [element("tr", "", heads)]),
    element("tbody", "", rows),
  ]);
  return element("div", "wide", [made]); // scrolls by itself where the window is narrower
}

function draw(data, box) {
  if (data.steps) return element("ul", data.left ? "row left" : "row", data.steps.map(step));
  if (data.tiles) return element("ul", "tiles", data.tiles.map(tile));
  if (!data.cards) return table(data, box);
  const drawn = data.cards.map(card);
  if (box) drawn.forEach((one, place) => one.prepend(box(place)));
  return element("ul", "cards", drawn);
}

const selections = new WeakMap(); // what is picked, and the number of the last change that was sent

// An answer to an earlier change than the latest must not undo what was picked meanwhile. After a session is lost the
// next one's numbers are higher, so what it says is taken.
function selection(data, parentElement, setStateValue) {
  const known = selections.get(parentElement) || { picked: new Set(), serial: 0 };
  if (data.select.serial >= known.serial) {
    const last = known.picked.last;
    known.picked = Object.assign(new Set(data.select.chosen), { last });
    known.serial = data.select.serial;
  }
  selections.set(parentElement, known);
  const send = () => {
    known.serial += 1;
    setStateValue("chosen", { ids: [...known.picked], serial: known.serial });
  };
  return (place) => pick(data.select.ids.map((id) => ({ id })), place, known.picked, send);
}

const listening = new WeakMap(); // Streamlit draws anew in the same element without cleaning up what was before

export default function ({ data, parentElement, setStateValue }) {
  const drawn = draw(data, data.select ? selection(data, parentElement, setStateValue) : null);
  drawn.classList.add("linked");
  if (data.cards) drawn.style.setProperty("--card", `${data.width}px`);
  parentElement.querySelector(".linked")?.remove();
  parentElement.appendChild(drawn);
  listening.get(parentElement)?.abort();
  arrive();
  if (!data.steps) return undefined;
  const ended = new AbortController();
  listening.set(parentElement, ended);
  document.addEventListener("keydown", (event) => follow(data.steps, event), { signal: ended.signal });
  return () => ended.abort();
}
