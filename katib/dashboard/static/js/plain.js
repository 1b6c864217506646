// What a terminal takes as colours and movements of its cursor is nothing to read on a page.
const STRING = String.raw`[\]PX^_][^\x07\x1b\n]*`;
const CODE = new RegExp(String.raw`(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b${STRING}(?:\x07|\x1b\\)|\x1b[ -/]*[0-~]`, 'g');
const BEGUN = new RegExp(String.raw`(?:(?:\x1b\[|\x9b)[0-?]*[ -/]*|\x1b${STRING}\x1b?|\x1b[ -/]*|\r)$`);
const LONGEST = 4096;

export class Plain {
  constructor() { this.begun = ''; }

  // A piece of a text, of which the end may be a code whose rest comes with the next piece.
  take(piece) {
    let text = this.begun + piece;
    const end = BEGUN.exec(text)?.[0] ?? '';
    this.begun = end.length < LONGEST ? end : '';
    if (this.begun) text = text.slice(0, -end.length);
    // A progress bar writes over its line: what counts is what it wrote last.
    return text.replace(CODE, '').replace(/\r\n/g, '\n').replace(/[^\n]*\r(?=[^\n])/g, '');
  }
}
