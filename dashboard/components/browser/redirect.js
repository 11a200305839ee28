// Goes to an address as soon as it is drawn, inside the session, so that the browser's back button leads here again.

const gone = new WeakMap();

export default function ({ data, parentElement }) {
  if (gone.get(parentElement) === data.href) return;
  gone.set(parentElement, data.href);
  history.pushState({}, "", data.href);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
