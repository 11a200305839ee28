// A radiograph on a canvas. Window, centre and invert turn each of its grey levels into another by a table of 256
// entries, pixel by pixel at the film's own size; what comes of it is scaled onto the canvas, and the heatmap is drawn
// over that, so its colours stay as they are. Text goes in as text nodes only.

const STEP = 1.25; // zoom of a button or a key
const MOST = 16; // screen pixels per film pixel
const DRAG = 0.6; // grey levels per screen pixel of a window drag
const SETTLED = 250; // milliseconds after the last change before it goes into the address
const TYPING = "textarea, select, [contenteditable=true], [role=textbox], [role=combobox], [role=listbox], " +
  "[role=menu], [role=grid], [role=dialog], input:not([type=range], [type=checkbox], [type=radio], [type=button])";

const viewers = new WeakMap(); // Streamlit calls with the same element after each rerun: zoom and pan stay

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function element(tag, className, children = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// --- pixels ---

// What a grey level is shown as: the linear VOI LUT of DICOM (PS3.3, C.11.2.1.2.1) from 8 bits to 8 bits, and its
// complement where inverted. Width 256 about centre 128 leaves every level as it is.
function shade(level, { window, centre, invert }) {
  const half = (window - 1) / 2;
  let share = (level - (centre - 0.5)) / (window - 1) + 0.5;
  if (level <= centre - 0.5 - half) share = 0;
  else if (level > centre - 0.5 + half) share = 1;
  const shown = Math.round(share * 255);
  return invert ? 255 - shown : shown;
}

// A picture of our own server as it is stored, upright, without colour management. Throws a sentence for the reader.
async function fetched(url, signal) {
  const fail = (why) => (error) => {
    throw signal.aborted ? error : new Error(why);
  };
  if (new URL(url, location.href).origin !== location.origin) throw new Error("file missing: it is on another server");
  const answer = await fetch(url, { signal }).catch(fail("file missing: the server does not answer"));
  if (!answer.ok) {
    const plain = (answer.headers.get("content-type") || "").startsWith("text/plain");
    const said = plain ? (await answer.text()).slice(0, 300) : `the server answered ${answer.status}`;
    throw new Error(`file missing: ${said}`);
  }
  const options = { colorSpaceConversion: "none", imageOrientation: "from-image" };
  return createImageBitmap(await answer.blob(), options).catch(fail("file unreadable: the browser cannot draw it"));
}

// Grey levels of a bitmap, uint8: ITU-R 601 luma in whole numbers, which leaves grey pixels as they are.
function greyOf(bitmap) {
  const { width, height } = bitmap;
  const brush = element("canvas", "", [], { width, height }).getContext("2d", { willReadFrequently: true });
  brush.fillRect(0, 0, width, height); // what is transparent is black
  brush.drawImage(bitmap, 0, 0);
  const pixels = brush.getImageData(0, 0, width, height).data;
  const levels = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < levels.length; at += 1, from += 4) {
    levels[at] = (pixels[from] * 19595 + pixels[from + 1] * 38470 + pixels[from + 2] * 7471 + 32768) >> 16;
  }
  return levels;
}

// A film as read: its levels, and a canvas of its own size that holds them as shown.
function filmOf(bitmap) {
  const { width, height } = bitmap;
  const canvas = element("canvas", "", [], { width, height });
  const levels = greyOf(bitmap);
  bitmap.close();
  return { width, height, levels, canvas, picture: new ImageData(width, height) };
}

function develop(film, view) {
  const shades = Uint32Array.from({ length: 256 }, (_, level) => 0xff000000 + shade(level, view) * 0x010101);
  const shown = new Uint32Array(film.picture.data.buffer);
  for (let at = 0; at < shown.length; at += 1) shown[at] = shades[film.levels[at]];
  film.canvas.getContext("2d").putImageData(film.picture, 0, 0);
}

// The window from the 0.5th to the 99.5th percentile of the film's levels.
function windowOf(levels) {
  const counts = new Array(256).fill(0);
  for (const level of levels) counts[level] += 1;
  const reached = (share) => {
    let left = share * levels.length;
    return counts.findIndex((count) => (left -= count) <= 0);
  };
  const [low, high] = [reached(0.005), reached(0.995)];
  return { window: high - low + 1, centre: clamp(Math.round((low + high + 1) / 2), 0, 255) };
}

// --- what the reader touches ---

function button(text, label, key, act) {
  const made = element("button", "", [text], { type: "button", "aria-label": label });
  made.title = key ? `${label} (key ${key})` : label;
  if (key) made.setAttribute("aria-keyshortcuts", key);
  made.addEventListener("click", act);
  return made;
}

// A labelled slider; `set` hears each movement, `settle` the release. Arrow keys stay in it: elsewhere they turn films.
function slider(text, range, set, settle) {
  const input = element("input", "", [], { type: "range", ...range });
  const value = element("span", "value", [], { "aria-hidden": "true" });
  input.addEventListener("input", () => set(Number(input.value)));
  input.addEventListener("change", settle);
  input.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow")) event.stopPropagation();
  });
  const show = (number, said) => {
    input.value = number;
    input.setAttribute("aria-valuetext", said);
    value.textContent = said;
  };
  return { input, show, row: element("label", "slider", [element("span", "", [text]), input, value]) };
}

function controlsOf(viewer) {
  const change = (part) => viewer.change(part);
  const settle = () => viewer.settle();
  const once = (part) => {
    change(part);
    settle();
  };
  const made = {
    out: button("\u2212", "Zoom out", "-", () => viewer.zoom(1 / STEP)),
    scale: element("span", "value scale", [], { title: "Screen pixels per film pixel" }),
    in: button("+", "Zoom in", "+", () => viewer.zoom(STEP)),
    fit: button("Fit", "Fit the film into the viewer", "0", () => viewer.fit()),
    same: button("1:1", "1:1, one film pixel on one screen pixel", "", () => viewer.scaleTo(1)),
    invert: button("Invert", "Invert", "i", () => once({ invert: !viewer.view.invert })),
    auto: button("Auto", "Auto: window from the 0.5th to the 99.5th percentile of this film", "", () => {
      if (viewer.film) once(windowOf(viewer.film.levels));
    }),
    reset: button("Reset", "Reset window width and centre", "", () => {
      once({ window: viewer.usual.window, centre: viewer.usual.centre });
    }),
    heat: button("Heatmap", "Heatmap", "h", () => once({ opacity: viewer.view.opacity ? 0 : viewer.lit })),
    window: slider("Window width", { min: 1, max: 256 }, (window) => change({ window }), settle),
    centre: slider("Window centre", { min: 0, max: 255 }, (centre) => change({ centre }), settle),
    opacity: slider("Heatmap opacity", { min: 0, max: 100, step: 5 }, (at) => change({ opacity: at / 100 }), settle),
  };
  return made;
}

// The parts under one root: the stage with the film, the controls, what stands under them.
function layOut(viewer) {
  const controls = controlsOf(viewer);
  const canvas = element("canvas", "", [], { role: "img" });
  const said = element("p", "said", [], { role: "status" });
  const keys = "Shift+ArrowLeft Shift+ArrowRight Shift+ArrowUp Shift+ArrowDown";
  const stage = element("div", "stage", [canvas, said], {
    role: "group", tabindex: "0", "aria-label": "Radiograph viewer", "aria-keyshortcuts": keys,
  });
  const legend = element("span", "legend", [element("span", "ramp"), element("span", "ends", [
    element("span", "", ["less heat"]), element("span", "", ["more heat"]),
  ])]);
  const { out, scale, fit, same, invert, auto, reset, heat } = controls;
  const bar = element("div", "bar", [
    element("span", "bar", [out, scale, controls.in, fit, same]), element("span", "bar", [invert, auto, reset]),
  ]);
  const window = element("div", "sliders", [controls.window.row, controls.centre.row]);
  const heated = element("div", "sliders heated", [
    element("span", "bar", [heat, legend]), controls.opacity.row, element("p", "caption looked"),
  ]);
  const about = element("p", "caption about");
  const heatKey = element("span", "", [" h shows or hides the heatmap,"]);
  const hint = element("p", "caption", [
    "Wheel or pinch zooms, drag moves, Shift-drag or right-drag sets the window. " +
    "Keys: + and \u2212 zoom, 0 fits, i inverts,", heatKey, " Shift with arrows moves.",
  ]);
  const root = element("div", "viewer", [stage, bar, window, heated, about, hint]);
  return { root, stage, canvas, said, legend, heated, heatKey, about, looked: heated.lastChild, controls };
}

// --- the viewer ---

class Viewer {
  constructor(parent) {
    this.ended = new AbortController(); // takes every listener with it
    this.view = {};
    this.at = null; // {scale, x, y}: screen pixels per film pixel, film point in the middle; null: fitted
    this.parts = layOut(this);
    parent.querySelector(".viewer")?.remove();
    parent.appendChild(this.parts.root);
    this.resized = new ResizeObserver(() => this.ask());
    this.resized.observe(this.parts.stage);
    listenToPointers(this);
    const { signal } = this.ended;
    document.addEventListener("keydown", (event) => this.pressed(event), { signal });
    window.addEventListener("popstate", () => (this.behind ||= this.serial > this.seen), { signal });
  }

  close() {
    this.ended.abort();
    this.resized.disconnect();
    this.loading?.abort();
    clearTimeout(this.timer);
  }

  // New data from the page. The reader's own latest change stands until an answer to it, or to nothing newer, comes.
  update(data, send) {
    const turned = data.src !== this.src; // to another film, or to the first
    // A change that no answer has shown yet, or had when the link was followed, which did not take it along.
    const unseen = this.behind || this.serial > this.seen;
    if (this.serial === undefined || data.serial < this.seen) this.serial = data.serial; // a new session counts anew
    this.send = send;
    this.seen = data.serial;
    this.usual = data.usual;
    this.heat = data.heat;
    if (turned ? !unseen : data.serial >= this.serial) this.view = { ...data.view };
    else if (turned) {
      this.serial += 1;
      this.settle();
    }
    if (turned) this.behind = false;
    if (this.view.opacity) this.lit = this.view.opacity;
    this.lit = this.lit || this.usual.opacity;
    const { parts } = this;
    parts.about.textContent = data.caption;
    parts.heated.hidden = parts.heatKey.hidden = !data.heat;
    const colours = data.heat?.colours.join(", ");
    if (colours) parts.legend.firstChild.style.background = `linear-gradient(to right, ${colours})`;
    this.alt = data.alt;
    if (turned || data.heat?.src !== this.heatSrc) this.load(data.src, turned, data.heat?.src);
    this.show();
  }

  // Fetch the film (where it is another one) and the heatmap; the former film goes at once, not when the next is there.
  load(src, turned, heatSrc) {
    this.loading?.abort();
    const { signal } = (this.loading = new AbortController());
    if (turned) Object.assign(this, { film: null, at: null, src });
    Object.assign(this, { layer: null, heatSrc, unlit: "" });
    if (!this.film) {
      this.say("Loading the radiograph");
      this.take(src, signal, (bitmap) => {
        this.film = filmOf(bitmap);
        this.say("");
      }, (why) => this.say(why));
    }
    if (heatSrc) {
      this.take(heatSrc, signal, (bitmap) => {
        this.layer = bitmap;
        this.ask();
      }, (why) => {
        this.unlit = `Heatmap ${why}`;
        this.show();
      });
    }
  }

  // Hand a picture on, or why there is none; neither once another film is wanted.
  take(url, signal, arrived, failed) {
    fetched(url, signal)
      .then((bitmap) => signal.aborted || arrived(bitmap))
      .catch((error) => signal.aborted || failed(error.message));
  }

  // The reader changes part of the view; `settle` sends it to the address once the hand is off.
  change(part) {
    if (!this.changing) this.serial += 1;
    this.changing = true;
    Object.assign(this.view, part);
    if (this.view.opacity) this.lit = this.view.opacity;
    this.show();
  }

  settle() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.changing = false;
      const { view, usual } = this;
      const sent = { serial: this.serial };
      for (const name of Object.keys(usual)) {
        sent[name] = view[name] === usual[name] ? null : String(Number(view[name])); // null takes it out of the address
      }
      this.send("changed", sent);
    }, SETTLED);
  }

  // --- where the film lies on the canvas ---

  // Screen pixels per film pixel when fitted.
  fitted() {
    return Math.min(this.parts.canvas.width / this.film.width, this.parts.canvas.height / this.film.height);
  }

  // Scale, and the canvas point of the film's upper left corner; the film covers the canvas or is in its middle.
  placed() {
    const { canvas } = this.parts;
    const scale = this.at ? this.at.scale : this.fitted();
    const corner = (middle, length, room) => {
      const half = room / scale / 2;
      const held = this.at && length > 2 * half ? clamp(middle, half, length - half) : length / 2;
      return [held, Math.round(room / 2 - held * scale)]; // whole pixels, so that 1:1 is sharp
    };
    const [x, left] = corner(this.at?.x, this.film.width, canvas.width);
    const [y, top] = corner(this.at?.y, this.film.height, canvas.height);
    if (this.at) Object.assign(this.at, { x, y });
    return { scale, x, y, left, top };
  }

  fit() {
    this.at = null;
    this.ask();
  }

  // Zoom so that the film point at a canvas point (the middle where none is given) stays there.
  scaleTo(wanted, point) {
    if (!this.film) return;
    const { canvas } = this.parts;
    const { left, top, scale } = this.placed();
    const { x, y } = point || { x: canvas.width / 2, y: canvas.height / 2 };
    const to = clamp(wanted, Math.min(this.fitted(), 1), Math.max(MOST, 4 * this.fitted()));
    this.at = {
      scale: to,
      x: (x - left) / scale + (canvas.width / 2 - x) / to,
      y: (y - top) / scale + (canvas.height / 2 - y) / to,
    };
    this.ask();
  }

  // Whether zooming out changes nothing: the film is fitted, or at 1:1 and smaller than that.
  least() {
    return !this.at || this.at.scale <= Math.min(this.fitted(), 1);
  }

  // Zoom by a factor; out of a film that is larger than fitted, not beyond that.
  zoom(factor, point) {
    if (!this.film) return;
    const { scale } = this.placed();
    const fitted = this.fitted();
    if (factor < 1 && scale >= fitted && scale * factor <= fitted * 1.001) this.fit();
    else if (factor !== 1) this.scaleTo(scale * factor, point);
  }

  // Move the film by canvas pixels.
  move(x, y) {
    if (!this.film || !this.at) return;
    this.at.x -= x / this.at.scale;
    this.at.y -= y / this.at.scale;
    this.ask();
  }

  // --- drawing ---

  say(text) {
    this.parts.said.textContent = text;
    this.parts.said.hidden = !text;
    this.parts.canvas.setAttribute("aria-hidden", Boolean(text));
    this.ask();
  }

  // Bring the controls in line with the view, and ask for a drawing.
  show() {
    const { parts, view } = this;
    const { controls } = parts;
    const heated = Boolean(this.heat && view.opacity && !this.unlit);
    parts.looked.textContent = this.unlit || this.heat?.caption || "";
    controls.window.show(view.window, String(view.window));
    controls.centre.show(view.centre, String(view.centre));
    controls.opacity.show(Math.round(view.opacity * 100), `${Math.round(view.opacity * 100)} %`);
    controls.invert.setAttribute("aria-pressed", view.invert);
    controls.heat.setAttribute("aria-pressed", heated);
    parts.legend.classList.toggle("off", !heated);
    parts.canvas.setAttribute("aria-label", heated ? `${this.alt}, under the heatmap: ${this.heat.alt}` : this.alt);
    this.ask();
  }

  // One drawing a frame, however many changes ask for it.
  ask() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.parts.root.isConnected) this.draw();
    });
  }

  draw() {
    const { canvas, stage, controls } = this.parts;
    const density = globalThis.devicePixelRatio || 1;
    const sides = [stage.clientWidth, stage.clientHeight];
    const [width, height] = sides.map((side) => Math.max(1, Math.round(side * density)));
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const brush = canvas.getContext("2d");
    brush.clearRect(0, 0, width, height);
    controls.scale.textContent = "";
    if (!this.film) return;
    const asked = JSON.stringify([this.view.window, this.view.centre, this.view.invert]);
    if (this.film.developed !== asked) {
      develop(this.film, this.view);
      this.film.developed = asked;
    }
    const { scale, left, top } = this.placed();
    const place = [left, top, this.film.width * scale, this.film.height * scale];
    brush.imageSmoothingQuality = "high";
    brush.drawImage(this.film.canvas, ...place);
    brush.globalAlpha = this.view.opacity; // the layer's alpha is its heat: a colour weighs opacity times heat
    if (this.layer && this.view.opacity) brush.drawImage(this.layer, ...place);
    brush.globalAlpha = 1;
    controls.scale.textContent = `${Math.round(scale * 100)} %`;
    stage.classList.toggle("zoomed", scale > this.fitted() * 1.001);
  }

  // --- keys ---

  pressed(event) {
    if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.altKey) return;
    if (!this.parts.root.isConnected) return;
    if (event.composedPath().some((node) => node instanceof Element && node.matches(TYPING))) return;
    const { controls } = this.parts;
    const bound = { "+": controls.in, "=": controls.in, "-": controls.out, 0: controls.fit, i: controls.invert };
    if (this.heat) bound.h = controls.heat;
    const ways = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (bound[event.key]) {
      event.preventDefault();
      if (!event.repeat || "+=-".includes(event.key)) bound[event.key].click(); // held, a switch would flicker
    } else if (event.shiftKey && ways[event.key] && event.composedPath().includes(this.parts.stage)) {
      event.preventDefault();
      this.move(...ways[event.key].map((way) => way * this.parts.canvas.width / 10));
    }
  }
}

// Wheel and fingers zoom, a drag moves, the right button or Shift with the left sets the window.
function listenToPointers(viewer) {
  const { stage, canvas } = viewer.parts;
  const down = new Map(); // pointer: where it last was, in canvas pixels
  let windowing = null; // where a window drag began, and the view then

  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const density = canvas.width / box.width;
    return { x: (event.clientX - box.left) * density, y: (event.clientY - box.top) * density };
  };
  const listen = (name, act, options = {}) => stage.addEventListener(name, act, options);

  listen("wheel", (event) => {
    if (!viewer.film || (event.deltaY > 0 && viewer.least())) return; // the page scrolls on
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode ? 16 : 1);
    viewer.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0015)), point(event));
  }, { passive: false });

  listen("pointerdown", (event) => {
    if (event.button !== 0 && event.button !== 2) return;
    stage.setPointerCapture(event.pointerId);
    down.set(event.pointerId, point(event));
    const window = event.button === 2 || event.shiftKey;
    windowing = window && down.size === 1 ? { x: event.clientX, y: event.clientY, view: { ...viewer.view } } : null;
  });

  listen("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = point(event);
    down.set(event.pointerId, now);
    if (windowing) {
      const { window, centre } = windowing.view;
      viewer.change({
        window: clamp(Math.round(window + (event.clientX - windowing.x) * DRAG), 1, 256),
        centre: clamp(Math.round(centre + (event.clientY - windowing.y) * DRAG), 0, 255),
      });
    } else if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
      const apart = (one) => Math.max(1, Math.hypot(one.x - other.x, one.y - other.y));
      viewer.move((now.x - before.x) / 2, (now.y - before.y) / 2);
      viewer.zoom(apart(now) / apart(before), { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 });
    } else {
      viewer.move(now.x - before.x, now.y - before.y);
    }
  });

  const lifted = (event) => {
    down.delete(event.pointerId);
    if (windowing && viewer.changing) viewer.settle();
    windowing = null;
  };
  listen("pointerup", lifted);
  listen("pointercancel", lifted);
  listen("contextmenu", (event) => event.preventDefault());
  listen("touchstart", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
  listen("touchmove", (event) => event.touches.length > 1 && event.preventDefault(), { passive: false });
}

export default function ({ data, parentElement, setTriggerValue }) {
  const viewer = viewers.get(parentElement) || new Viewer(parentElement);
  viewers.set(parentElement, viewer);
  viewer.update(data, setTriggerValue);
  return () => {
    if (viewer.parts.root.isConnected) return; // called for an answer that a later one overtook
    viewer.close();
    viewers.delete(parentElement);
  };
}
