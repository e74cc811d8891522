import { type Handler, type ServerResponse, text } from '@cluster-image/distribution';
import type { RegistryReader } from '@cluster-image/oci';
import { type ClientName, clientConfig, clientNames } from './client-config.ts';
import { formatCount } from './counts.ts';
import { type Held, holdings } from './holdings.ts';
import { formatSize } from './sizes.ts';

export interface FrontPageOptions {
  /** Where the registry is, as clients reach it. */
  readonly url: URL;
  readonly isProxy: boolean;
}

/** How many repositories a page shows. */
const rowsOnPage = 200;

/**
 * A page for people: what the registry holds, and how to point a client at it. Everything is in the
 * page itself, so that it works where there is no internet.
 */
export function frontPage(reader: RegistryReader, options: FrontPageOptions): Handler {
  const held = holdings(reader);
  return async ({ target }) => {
    const query = new URLSearchParams(target.split('?')[1] ?? '').get('q') ?? '';
    const page = await held(query.trim().toLowerCase(), rowsOnPage);
    return html([
      '<header><h1>cluster-image</h1>',
      `<p>An OCI registry at <code>${escaped(options.url.host)}</code>${options.isProxy ? ', which pulls through from any upstream' : ''}.</p></header>`,
      '<main>',
      ...holdingsSection(page, query),
      ...clientsSection(options),
      '</main>',
    ]);
  };
}

function holdingsSection(page: Held, query: string): readonly string[] {
  const { repositories, total, size, saved } = page;
  const more = total - repositories.length;
  return [
    '<section aria-labelledby="holds"><h2 id="holds">What it holds</h2>',
    `<form role="search"><input type="search" name="q" value="${escaped(query)}" placeholder="Find a repository" aria-label="Find a repository"><button>Find</button></form>`,
    `<p>${formatCount(total, 'repository', 'repositories')}${query === '' ? '' : ` with “${escaped(query)}” in the name`}, ${formatSize(size)}${saved > 0 ? `; ${formatSize(saved)} more if images did not share layers` : ''}.</p>`,
    ...(repositories.length === 0
      ? ['<p class="none">Nothing yet.</p>']
      : [
          '<table><thead><tr><th scope="col">Repository</th><th scope="col">Tags</th><th scope="col" class="number">Size</th></tr></thead><tbody>',
          ...repositories.map(
            ({ name, tags, size }) =>
              `<tr><td><code>${escaped(name)}</code></td><td>${tagList(tags)}</td><td class="number">${formatSize(size)}</td></tr>`,
          ),
          '</tbody></table>',
        ]),
    ...(more > 0 ? [`<p>${more} more; find them by name.</p>`] : []),
    '</section>',
  ];
}

function tagList(tags: readonly string[]): string {
  const shown = tags.slice(0, 8).map((tag) => `<code>${escaped(tag)}</code>`);
  return [...shown, ...(tags.length > 8 ? [`and ${tags.length - 8} more`] : [])].join(' ');
}

function clientsSection({ url, isProxy }: FrontPageOptions): readonly string[] {
  return [
    '<section aria-labelledby="clients"><h2 id="clients">Point a client at it</h2>',
    ...clientNames.map((name) => clientDetails(name, url, isProxy)),
    '</section>',
  ];
}

function clientDetails(name: ClientName, url: URL, isProxy: boolean): string {
  const { files, next } = clientConfig(name, { url, isProxy, hosts: [] });
  return [
    `<details><summary>${name}</summary>`,
    ...files.map(
      ({ path, text }) => `<p><code>${escaped(path)}</code></p><pre>${escaped(text)}</pre>`,
    ),
    ...next.map((step) => `<p>${escaped(step)}</p>`),
    '</details>',
  ].join('');
}

function html(body: readonly string[]): ServerResponse {
  const page = [
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>cluster-image registry</title>',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    `<style>${style}</style></head><body>`,
    ...body,
    '</body></html>',
  ].join('\n');
  return text(page, 'text/html; charset=utf-8', {
    'content-security-policy':
      "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-store',
  });
}

/** Names come from whoever pushed them. */
function escaped(given: string): string {
  return given.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

const style = `
:root{color-scheme:light dark;--line:color-mix(in srgb,currentColor 18%,transparent)}
body{font:16px/1.5 system-ui,sans-serif;margin:0 auto;max-width:60rem;padding:1.5rem 1rem 4rem}
h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}
header p{margin:.25rem 0 0}p code{overflow-wrap:anywhere}code,pre{font:.875rem/1.5 ui-monospace,monospace}
table{border-collapse:collapse;width:100%}th,td{padding:.4rem .75rem .4rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
td code{overflow-wrap:anywhere}.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums;padding-right:0}
form{display:flex;gap:.5rem;margin:.5rem 0}input{flex:1;min-width:0;font:inherit;padding:.35rem .6rem}button{font:inherit;padding:.35rem .9rem}
details{border-bottom:1px solid var(--line);padding:.5rem 0}summary{cursor:pointer}
pre{overflow-x:auto;padding:.75rem;border:1px solid var(--line);border-radius:.4rem}
`;
