// What a table shows, in the address of its page: whoever comes back, or is sent it, sees the same.

const words = () => new URLSearchParams(location.search);

export function shownBy(usualSort) {
  const asked = words();
  const sort = asked.get('sort') || usualSort;
  return {
    filter: asked.get('q') ?? '', state: asked.get('state') ?? '', page: Math.max(parseInt(asked.get('page'), 10) || 1, 1) - 1,
    sort: {key: sort.replace(/^-/, ''), down: sort.startsWith('-')},
  };
}

export function keep({filter, state, sort, page}, usualSort) {
  const sorted = `${sort.down ? '-' : ''}${sort.key}`;
  put([['q', filter], ['state', state], ['sort', sorted === usualSort ? '' : sorted], ['page', page ? String(page + 1) : '']]);
}

// Names of the drawings that are on a logarithmic scale.
export const logsShown = () => (words().get('log') ?? '').split(',');
export const keepLogs = (names) => put([['log', names.join(',')]]);

function put(pairs) {
  const asked = words();
  for (const [name, word] of pairs) {
    if (word) asked.set(name, word);
    else asked.delete(name);
  }
  const search = asked.size ? `?${asked}` : '';
  if (search === location.search) return;
  try {
    history.replaceState(history.state, '', `${location.pathname}${search}${location.hash}`);
  } catch {
    // A browser lets nobody do this a hundred times in half a minute; the next change takes it along.
  }
}
