// A login leads back to the first page, whatever page asked for it: this remembers that one on the way in, in this tab
// alone, and goes there once, inside the session.

const KEY = "pneumoscope.asked";

export default function ({ data }) {
  const here = location.pathname + location.search;
  if (data.asking) {
    sessionStorage.setItem(KEY, here);
    return;
  }
  const asked = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (!asked || asked === here || location.pathname !== "/") return;
  history.replaceState({}, "", asked);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
