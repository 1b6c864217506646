// What a terminal takes as colours and movements of its cursor is nothing to read on a page.
const STRING = String.raw`[\]PX^_][^\x07\x1b\n]*`;
const CODE = new RegExp(String.raw`(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b${STRING}(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]`, 'g');
const BEGUN = new RegExp(String.raw`(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b${STRING}\x1b?|\x1b[ -/]*|\r)$`);
const LONGEST = 4096;

// What is left to see of a line that was written over, as by a progress bar: what was written last. Not by a pattern: that would look
// through the rest of a long line from each of its letters.
function seen(line) {
  let end = line.length;
  while (line[end - 1] === '\r') end -= 1;
  return line.slice(line.lastIndexOf('\r', end - 1) + 1, end);
}

export class Plain {
  constructor() { this.begun = ''; }

  // A piece of a text, of which the end may be a code whose rest comes with the next piece.
  take(piece) {
    let text = this.begun + piece;
    const end = BEGUN.exec(text)?.[0] ?? '';
    this.begun = end.length < LONGEST ? end : '';
    if (this.begun) text = text.slice(0, -end.length);
    text = text.replace(CODE, '');
    return text.includes('\r') ? text.split('\n').map(seen).join('\n') : text;
  }
}
