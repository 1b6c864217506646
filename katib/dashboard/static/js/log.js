// What a trial prints: its end, more as it comes, and what was before for whoever asks. Of much, what is far above is let go.
import {Plain} from './plain.js';
import {element, repeat, request} from './page.js';

const PIECE = 65536;
const KEPT = 400000;
const log = document.getElementById('log');
const note = document.getElementById('log-note');
const chosen = document.getElementById('log-attempt');
const follow = document.getElementById('log-follow');
const earlier = document.getElementById('log-earlier');

const size = (bytes) => (bytes < 1024 ? `${bytes} bytes` : bytes < 2 ** 20 ? `${Math.round(bytes / 1024)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`);

export function trialLog(id) {
  let reading = 0;
  let finished = false;
  // What is shown, as bytes from `start` to `end`.
  let [pieces, start, end, kept] = [[], 0, 0, KEPT];
  let [decoder, plain] = [new TextDecoder(), new Plain()];

  const ask = (offset) => request(`/api/trials/${id}/log?attempt=${chosen.value}&offset=${offset}`);

  function write(bytes) {
    let first = 0;
    // It may begin within a letter.
    if (start && !log.firstChild) while (first < 3 && (bytes[first] & 0xc0) === 0x80) first += 1;
    const text = plain.take(decoder.decode(bytes.subarray(first), {stream: true}));
    if (text) log.append(text);
  }

  function rewrite() {
    [decoder, plain] = [new TextDecoder(), new Plain()];
    log.replaceChildren();
    pieces.forEach(write);
  }

  function append(bytes) {
    pieces.push(bytes);
    end += bytes.length;
    if (end - start <= kept) write(bytes);
    else {
      while (pieces.length > 1 && end - start > kept / 2) start += pieces.shift().length;
      rewrite();
    }
    if (follow.checked) log.scrollTop = log.scrollHeight;
  }

  function tell() {
    const text = !end ? (finished ? 'It printed nothing.' : 'It has printed nothing yet.')
      : finished ? (start ? `The last ${size(end - start)} of ${size(end)} that it printed.` : 'This is all that it printed.')
        : start ? `Live. Of what it printed before, ${size(start)} are not shown.` : 'Live.';
    if (note.textContent !== text) note.textContent = text;
    earlier.hidden = !start;
  }

  function read() {
    const mine = ++reading;
    let offset = -PIECE;
    [pieces, start, end, kept, finished] = [[], 0, 0, KEPT, false];
    rewrite();
    note.textContent = 'Loading…';
    earlier.hidden = true;
    repeat(async () => {
      let response;
      do {
        if (mine !== reading) return false;
        response = await ask(offset).catch((error) => {
          if (error.away) throw error;
          if (mine === reading) note.textContent = `There is no log: ${error.message}`;
          return null;
        });
        if (!response || mine !== reading) return false;
        const bytes = new Uint8Array(await response.arrayBuffer());
        if (mine !== reading) return false;
        const next = Number(response.headers.get('x-next-offset'));
        if (offset < 0) start = end = next - bytes.length;
        offset = next;
        if (!bytes.length) break;
        append(bytes);
      } while (true);
      finished = response.headers.get('x-finished') === '1';
      tell();
      log.dataset.ready = '1';
      return !finished;
    }, 1000);
  }

  async function more() {
    const mine = reading;
    const from = Math.max(start - PIECE, 0);
    const found = new Uint8Array(start - from);
    let got = 0;
    while (got < found.length) {
      const bytes = new Uint8Array(await (await ask(from + got)).arrayBuffer());
      // What was before stays as it was; only the start may have moved on.
      if (mine !== reading || start !== from + found.length) return;
      if (!bytes.length) throw new Error('it is not there any more');
      found.set(bytes.subarray(0, found.length - got), got);
      got += bytes.length;
    }
    follow.checked = false;
    const below = log.scrollHeight - log.scrollTop;
    pieces.unshift(found);
    start = from;
    kept += found.length;
    rewrite();
    log.scrollTop = log.scrollHeight - below;
    tell();
  }

  earlier.addEventListener('click', async () => {
    earlier.disabled = true;
    await more().catch((error) => { note.textContent = `It could not be loaded: ${error.message}`; });
    earlier.disabled = false;
    if (earlier.hidden) log.focus();
    else earlier.focus();
  });
  chosen.addEventListener('change', read);
  read();

  // For the latest attempt, which is chosen if the one before was.
  return (latest) => {
    const known = Math.max(...[...chosen.options].map((option) => Number(option.value)));
    const newest = Number(chosen.value) === known;
    for (let n = known + 1; n <= latest; n += 1) chosen.prepend(element('option', {textContent: n}));
    if (latest > known && newest) { chosen.value = latest; read(); }
  };
}
