// An image pasted anywhere on the page goes to the page's file uploader, as if it had been chosen there. While the
// uploader has the focus, it handles pasting itself.

const FIELD = "[data-testid=stFileUploaderDropzoneInput]";
const ITSELF = "[data-testid=stFileUploaderDropzone]";
const TYPING = "input:not([type=file]), textarea, [contenteditable=true]";

function take(event) {
  if (event.defaultPrevented || !event.clipboardData) return;
  const file = Array.from(event.clipboardData.files)[0];
  const field = document.querySelector(FIELD);
  if (!file || !field || field.disabled) return;
  const from = event.composedPath().filter((node) => node instanceof Element);
  if (from.some((node) => node.matches(ITSELF))) return;
  const text = event.clipboardData.types.includes("text/plain");
  if (text && from.some((node) => node.matches(TYPING))) return; // text with an image of itself, meant for a text field
  event.preventDefault();
  const chosen = new DataTransfer();
  chosen.items.add(file);
  field.files = chosen.files;
  field.dispatchEvent(new Event("change", { bubbles: true }));
}

export default function ({ parentElement }) {
  const mark = document.createElement("span"); // marks that the listener is active
  mark.className = "pasting";
  mark.hidden = true;
  parentElement.replaceChildren(mark);
  document.addEventListener("paste", take);
  return () => document.removeEventListener("paste", take);
}
