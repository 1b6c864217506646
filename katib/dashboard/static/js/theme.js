// Before anything is drawn, so that no page flashes in the other colours. Light, dark, or as the system has it.
(() => {
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const words = {auto: 'as the system has them', light: 'light', dark: 'dark'};
  const read = () => { try { return localStorage.getItem('katib-theme') || 'auto'; } catch { return 'auto'; } };
  let chosen = words[read()] ? read() : 'auto';
  const apply = () => {
    root.dataset.theme = chosen === 'auto' ? (system.matches ? 'dark' : 'light') : chosen;
    document.getElementById('theme')?.setAttribute('aria-label', `Colours: ${words[chosen]}`);
    document.getElementById('theme')?.setAttribute('title', `Colours: ${words[chosen]}`);
    root.dispatchEvent(new Event('themechange'));
  };
  apply();
  system.addEventListener('change', apply);
  addEventListener('DOMContentLoaded', () => {
    apply();
    document.getElementById('theme').addEventListener('click', () => {
      const order = system.matches ? ['auto', 'light', 'dark'] : ['auto', 'dark', 'light'];
      chosen = order[(order.indexOf(chosen) + 1) % order.length];
      try { localStorage.setItem('katib-theme', chosen); } catch { /* private windows keep nothing */ }
      apply();
    });
  });
})();
