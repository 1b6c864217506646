// A part of a page in which somebody has selected text stays as it is until the selection is gone: what is replaced is lost to it.
const waiting = new Map();

export function selectedIn(part) {
  const selection = document.getSelection();
  return Boolean(selection) && !selection.isCollapsed && (part.contains(selection.anchorNode) || part.contains(selection.focusNode));
}

// `change` at once or when it may be; of several that wait for a part the last one.
export function unlessSelected(part, change) {
  if (selectedIn(part)) { waiting.set(part, change); return; }
  waiting.delete(part);
  change();
}

document.addEventListener('selectionchange', () => {
  for (const [part, change] of [...waiting]) unlessSelected(part, change);
});
