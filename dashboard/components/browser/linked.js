// Draws linked cards and tables from data. Text is inserted as text nodes only, so data can never become markup.

function element(tag, className, children = []) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SCROLLED = "pneumoscope.scrolled ";
let returning = null; // scroll position to restore on the page being drawn
let place = location.pathname; // path of the page drawn last

function scrolling() {
  return document.querySelector("[data-testid=stMain]");
}

// Browser back and forward restore the scroll position; navigation by `navigate` starts at the top.
addEventListener("popstate", (event) => {
  returning = event.isTrusted ? Number(sessionStorage.getItem(SCROLLED + location.href)) || null : null;
});

// A new page starts at the top. This needs code: if it arrives together with the end of the previous page, a slow
// browser never sees an empty page and keeps its scroll position.
function arrive() {
  if (location.pathname !== place) returning ??= 0;
  place = location.pathname;
  settle();
}

// The page grows while it is drawn: scroll once it is long enough, and hold the position until it has been complete for
// half a second, unless the user scrolls.
function settle(until = 0, whole = 0) {
  const page = scrolling();
  if (returning === null || !page) return;
  if (page.scrollHeight - page.clientHeight >= returning) page.scrollTo({ top: returning, behavior: "instant" });
  const drawing = document.querySelector("[data-testid=stApp][data-test-script-state=running]") !== null;
  const held = drawing || Math.abs(page.scrollTop - returning) > 1 ? 0 : whole + 1;
  if (drawing || !until) until = performance.now() + 10_000; // the page may be shorter now, and never become long enough
  if (held < 30 && performance.now() < until) requestAnimationFrame(() => settle(until, held));
  else returning = null;
}
for (const act of ["wheel", "keydown", "pointerdown"]) addEventListener(act, () => (returning = null), { passive: true });

// Changes the page within the session, as the browser's back button does. Until the new page is drawn, the links of the
// previous one are still there: following one twice counts as one step.
function navigate(href) {
  if (href === location.href) return;
  sessionStorage.setItem(SCROLLED + location.href, scrolling()?.scrollTop ?? 0);
  history.pushState({}, "", href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}

// A plain click stays in the session; other clicks open a new tab, as for any link. A file is not a page: the browser
// saves it, or shows the error in a new tab. A link to a section of this page scrolls there.
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

// A checkbox that selects an item. With shift, all items since the last selected one are selected as well.
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
    made.title = line; // shows text that is cut off on narrow cards
    return made;
  });
  const main = anchor(item.href, "card", [element("span", "film", [image]), title, ...lines]);
  const more = item.more ? anchor(item.more[1], "more", [item.more[0]]) : null;
  if (more) more.setAttribute("aria-label", `${item.more[0]}: ${item.alt}`);
  return element("li", "", [main, more].filter(Boolean));
}

// A term with its definition, shown on hover and on focus.
function term(text, meaning) {
  if (!meaning) return text;
  const made = element("span", "term", [text, element("span", "meaning", [meaning])]);
  made.tabIndex = 0;
  const shown = made.lastChild;
  shown.setAttribute("role", "tooltip");
  const place = () => { // fixed position, because the table clips its content
    const { left, bottom } = made.getBoundingClientRect();
    shown.style.left = `${Math.max(8, Math.min(left, innerWidth - 300))}px`;
    shown.style.top = `${bottom + 4}px`;
  };
  made.addEventListener("pointerenter", place);
  made.addEventListener("focus", place);
  return made;
}

// A value and the text in brackets after it: in a narrow table the latter wraps below the value, and neither is broken.
function pieces(text) {
  return text.split(/ (?=\()/).flatMap((piece, at) => [at ? " " : "", element("span", "whole", [piece])]);
}

function cell(content, column, head) {
  const text = column.align === "right" ? pieces(content.text) : [content.text];
  const told = content.meaning ? [term(content.text, content.meaning)] : text;
  const inner = content.href ? [anchor(content.href, "", text)] : told;
  const made = element(head ? "th" : "td", `${column.align || "left"} ${content.tone || ""}`, inner);
  if (head) made.scope = "row";
  // on a phone the table scrolls instead of wrapping after each word
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

// Arrow keys follow the links bound to them, unless a slider or field that uses them has the focus.
function follow(steps, event) {
  if (event.repeat || event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey || event.shiftKey) return;
  if (event.target.closest?.("input, textarea, select, [role=slider], [role=radiogroup], [contenteditable=true]")) return;
  const at = steps.findIndex((content) => content.href && content.key === event.key);
  if (at >= 0) navigate(new URL(steps[at].href, location.href).href);
}

const ARROWS = { descending: "▼", ascending: "▲", none: "↕" };
const AFTER = { none: "descending", descending: "ascending", ascending: "none" };
const words = new Intl.Collator(undefined, { numeric: true });

// The first number of a text such as "1,234 of 5,000" or "97.4 % (95.7 to 98.9 %)", NaN if there is none.
function leading(text) {
  if (text.startsWith("unknown")) return NaN;
  return Number.parseFloat(/[-+]?[\d,]*\.?\d+(e[-+]?\d+)?/.exec(text)?.[0].replaceAll(",", "") ?? "");
}

// The rows' places sorted by a column: numbers in right-aligned columns, else words; unknown values stay last.
function ordered(data, { column, order }) {
  const places = data.rows.map((_, place) => place);
  if (order === "none") return places;
  const numeric = data.columns[column].align === "right";
  const values = data.rows.map((row) => (numeric ? leading(row[column].text) : row[column].text));
  const compared = (one, other) => (numeric ? values[one] - values[other] : words.compare(values[one], values[other]));
  const known = places.filter((place) => !Number.isNaN(values[place]) && values[place] !== "");
  known.sort((one, other) => (order === "ascending" ? compared(one, other) : compared(other, one)));
  return [...known, ...places.filter((place) => !known.includes(place))];
}

// The column's heading; of one that occurs several times, such as n, after that of the metric before it.
function called(columns, at) {
  const once = (column) => columns.filter((other) => other.text === column.text).length === 1;
  const whose = once(columns[at]) ? null : columns.slice(1, at).findLast(once);
  return whose ? `${whose.text}, ${columns[at].text}` : columns[at].text;
}

// A button next to a column's heading that sorts by it: largest first, then smallest first, then as given.
function sorter(data, column, sorted, apply) {
  const made = element("button", "sort");
  made.type = "button";
  made.setAttribute("aria-label", `Sort by ${called(data.columns, column)}`);
  made.addEventListener("click", () => {
    Object.assign(sorted, { column, order: AFTER[sorted.column === column ? sorted.order : "none"] });
    apply();
  });
  return made;
}

function table(data, box, sorted) {
  const heads = data.columns.map((column, at) => {
    if (!column.text) return element("td");
    const text = term(column.text, column.meaning);
    const button = sorted && sorter(data, at, sorted, () => apply());
    const together = column.text.includes(" ") ? "" : "whole"; // the button stays beside a single word
    const made = element("th", column.align || "left", [button ? element("span", together, [text, " ", button]) : text]);
    made.scope = "col";
    if (button) made.abbr = column.text; // what each cell's column is called, without the button
    return made;
  });
  if (box) heads.unshift(element("td", "", []));
  const rows = data.rows.map((row, place) => {
    const cells = row.map((content, at) => cell(content, data.columns[at], at === 0));
    return element("tr", "", box ? [element("td", "", [box(place)]), ...cells] : cells);
  });
  const body = element("tbody", "", rows);
  const made = element("table", "", [
    element("caption", "", [data.caption]),
    element("thead", "", [element("tr", "", heads)]),
    body,
  ]);
  const apply = () => {
    body.append(...ordered(data, sorted).map((place) => rows[place]));
    heads.forEach((head, at) => {
      const order = sorted.column === at ? sorted.order : "none";
      head.querySelector(".sort")?.replaceChildren(ARROWS[order]);
      order === "none" ? head.removeAttribute("aria-sort") : head.setAttribute("aria-sort", order);
    });
  };
  if (sorted) apply();
  return element("div", "wide", [made]); // scrolls horizontally in a narrow window
}

function draw(data, box, sorted) {
  if (data.steps) return element("ul", data.left ? "row left" : "row", data.steps.map(step));
  if (data.tiles) return element("ul", "tiles", data.tiles.map(tile));
  if (!data.cards) return table(data, box, sorted);
  const drawn = data.cards.map(card);
  if (box) drawn.forEach((one, place) => one.prepend(box(place)));
  return element("ul", "cards", drawn);
}

const selections = new WeakMap(); // the selection, and the number of the last change sent

// An answer to an outdated change must not undo what was selected since. After a lost session, the numbers of the next
// one are higher, so its answers are accepted.
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

const orders = new WeakMap(); // the column by which a table is sorted, kept when the page is drawn again

function order(data, parentElement) {
  const kept = orders.get(parentElement);
  const columns = data.columns.map((column) => column.text).join("\n");
  if (kept?.columns === columns) return kept;
  const made = { column: -1, order: "none", columns };
  orders.set(parentElement, made);
  return made;
}

const listening = new WeakMap(); // Streamlit redraws in the same element without cleaning up

export default function ({ data, parentElement, setStateValue }) {
  const box = data.select ? selection(data, parentElement, setStateValue) : null;
  const drawn = draw(data, box, data.sortable ? order(data, parentElement) : null);
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
