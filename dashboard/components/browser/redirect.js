// Opens a URL as soon as it is drawn, within the session, so that the browser's back button returns here.

const gone = new WeakMap();

export default function ({ data, parentElement }) {
  if (gone.get(parentElement) === data.href) return;
  gone.set(parentElement, data.href);
  history.pushState({}, "", data.href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
