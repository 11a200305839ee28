// A radiograph on a canvas. Window, centre and invert map grey levels through a 256-entry lookup table at the image's
// own resolution; the result is scaled onto the canvas, and the heatmap is drawn on top, so that its colours are not
// changed. Text is inserted as text nodes only.

const STEP = 1.25; // zoom factor of a button or key
const MOST = 16; // maximum screen pixels per image pixel
const DRAG = 0.6; // grey levels per screen pixel of a window drag
const SETTLED = 250; // milliseconds between the last change and its update of the URL
const TYPING = "textarea, select, [contenteditable=true], [role=textbox], [role=combobox], [role=listbox], " +
  "[role=menu], [role=grid], [role=dialog], input:not([type=range], [type=checkbox], [type=radio], [type=button])";

const viewers = new WeakMap(); // Streamlit passes the same element after each rerun: zoom and pan are kept

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function element(tag, className, children = [], attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// --- pixels ---

// Displayed value of a grey level: the linear VOI LUT of DICOM (PS3.3, C.11.2.1.2.1) from 8 to 8 bits, complemented if
// inverted. Width 256 with centre 128 is the identity.
function shade(level, { window, centre, invert }) {
  const half = (window - 1) / 2;
  let share = (level - (centre - 0.5)) / (window - 1) + 0.5;
  if (level <= centre - 0.5 - half) share = 0;
  else if (level > centre - 0.5 + half) share = 1;
  const shown = Math.round(share * 255);
  return invert ? 255 - shown : shown;
}

// Fetch an image from our own server, upright and without colour management. Throws a message for the user.
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
  return createImageBitmap(await answer.blob(), options).catch(fail("file unreadable: the browser cannot decode it"));
}

// Grey levels of a bitmap, uint8: integer ITU-R 601 luma, which leaves grey pixels unchanged.
function greyOf(bitmap) {
  const { width, height } = bitmap;
  const brush = element("canvas", "", [], { width, height }).getContext("2d", { willReadFrequently: true });
  brush.fillRect(0, 0, width, height); // transparent areas become black
  brush.drawImage(bitmap, 0, 0);
  const pixels = brush.getImageData(0, 0, width, height).data;
  const levels = new Uint8Array(width * height);
  for (let at = 0, from = 0; at < levels.length; at += 1, from += 4) {
    levels[at] = (pixels[from] * 19595 + pixels[from + 1] * 38470 + pixels[from + 2] * 7471 + 32768) >> 16;
  }
  return levels;
}

// A loaded image: its grey levels, and a canvas of the same size that holds them as displayed.
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

// The window from the 0.5th to the 99.5th percentile of the image's grey levels.
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

// --- controls ---

function button(text, label, key, act) {
  const made = element("button", "", [text], { type: "button", "aria-label": label });
  made.title = key ? `${label} (key ${key})` : label;
  if (key) made.setAttribute("aria-keyshortcuts", key);
  made.addEventListener("click", act);
  return made;
}

// A labelled slider; `set` is called on each movement, `settle` on release. It keeps arrow keys, which change the case
// elsewhere.
function slider(text, range, set, settle) {
  const input = element("input", "", [], { type: "range", ...range });
  const value = element("span", "value", [], { "aria-hidden": "true" });
  input.addEventListener("input", () => set(Number(input.value)));
  input.addEventListener("change", settle);
  input.addEventListener("keydown", (event) => {
    if (event.key.startsWith("Arrow")) event.stopPropagation();
  });
  const show = (number, text) => {
    input.value = number;
    input.setAttribute("aria-valuetext", text);
    value.textContent = text;
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
    scale: element("span", "value scale", [], { title: "Screen pixels per image pixel" }),
    in: button("+", "Zoom in", "+", () => viewer.zoom(STEP)),
    fit: button("Fit", "Fit image to viewer", "0", () => viewer.fit()),
    same: button("1:1", "1:1, one image pixel per screen pixel", "", () => viewer.scaleTo(1)),
    invert: button("Invert", "Invert", "i", () => once({ invert: !viewer.view.invert })),
    auto: button("Auto", "Auto: window from the 0.5th to the 99.5th percentile of this image", "", () => {
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

// All elements under one root: the stage with the image, the controls, the captions below.
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
  const heatKey = element("span", "", [" h toggles the heatmap,"]);
  const hint = element("p", "caption", [
    "Wheel or pinch to zoom, drag to pan, Shift- or right-drag to set the window. " +
    "Keys: + and \u2212 zoom, 0 fits, i inverts,", heatKey, " Shift+arrows pan.",
  ]);
  const root = element("div", "viewer", [stage, bar, window, heated, about, hint]);
  return { root, stage, canvas, said, legend, heated, heatKey, about, looked: heated.lastChild, controls };
}

// --- the viewer ---

class Viewer {
  constructor(parent) {
    this.ended = new AbortController(); // removes every listener
    this.view = {};
    this.at = null; // {scale, x, y}: screen pixels per image pixel, image point in the middle; null: fitted
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

  // New data from the page. The user's latest change is kept until an answer to it arrives.
  update(data, send) {
    const turned = data.src !== this.src; // to another image, or to the first one
    // A change that has not been answered yet, or had not been when the link was followed, so that the link lacks it.
    const unseen = this.behind || this.serial > this.seen;
    if (this.serial === undefined || data.serial < this.seen) this.serial = data.serial; // a new session starts counting again
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

  // Fetch the image (if it changed) and the heatmap; the previous image is removed at once, not when the next arrives.
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

  // Pass on an image, or the reason why there is none; neither if another image has been requested meanwhile.
  take(url, signal, arrived, failed) {
    fetched(url, signal)
      .then((bitmap) => signal.aborted || arrived(bitmap))
      .catch((error) => signal.aborted || failed(error.message));
  }

  // The user changes part of the view; `settle` writes it to the URL after release.
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
        sent[name] = view[name] === usual[name] ? null : String(Number(view[name])); // null removes it from the URL
      }
      this.send("changed", sent);
    }, SETTLED);
  }

  // --- position of the image on the canvas ---

  // Screen pixels per image pixel when fitted.
  fitted() {
    return Math.min(this.parts.canvas.width / this.film.width, this.parts.canvas.height / this.film.height);
  }

  // Scale, and the canvas point of the image's upper left corner; the image covers the canvas or is centred.
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

  // Zoom so that the image point at a canvas point (by default the middle) stays there.
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

  // Whether zooming out has no effect: the image is fitted, or at 1:1 and smaller than that.
  least() {
    return !this.at || this.at.scale <= Math.min(this.fitted(), 1);
  }

  // Zoom by a factor; zooming out of an image larger than fitted stops there.
  zoom(factor, point) {
    if (!this.film) return;
    const { scale } = this.placed();
    const fitted = this.fitted();
    if (factor < 1 && scale >= fitted && scale * factor <= fitted * 1.001) this.fit();
    else if (factor !== 1) this.scaleTo(scale * factor, point);
  }

  // Move the image by canvas pixels.
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

  // Update the controls to the view, and request a redraw.
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
    parts.canvas.setAttribute("aria-label", heated ? `${this.alt}, with heatmap: ${this.heat.alt}` : this.alt);
    this.ask();
  }

  // One redraw per frame, however many changes request it.
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
    brush.globalAlpha = this.view.opacity; // the layer's alpha is its heat: a colour is weighted by opacity times heat
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
      if (!event.repeat || "+=-".includes(event.key)) bound[event.key].click(); // a toggle would flicker while the key is held
    } else if (event.shiftKey && ways[event.key] && event.composedPath().includes(this.parts.stage)) {
      event.preventDefault();
      this.move(...ways[event.key].map((way) => way * this.parts.canvas.width / 10));
    }
  }
}

// Wheel and pinch zoom, a drag pans, the right button or Shift with the left button sets the window.
function listenToPointers(viewer) {
  const { stage, canvas } = viewer.parts;
  const down = new Map(); // pointer id -> its last position, in canvas pixels
  let windowing = null; // start of a window drag, and the view at that time

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
    if (viewer.parts.root.isConnected) return; // called for an outdated answer
    viewer.close();
    viewers.delete(parentElement);
  };
}
