// A login always returns to the start page: this remembers the requested page before the login, in this tab only, and
// goes there once afterwards, within the session.

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
