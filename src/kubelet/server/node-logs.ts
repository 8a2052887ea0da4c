import { createReadStream } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const root = '/var/log';

/** The node's own logs as a file server shows them. False: there is no such file below the folder. */
export async function serveNodeLog(path: string, response: ServerResponse, folder = root): Promise<boolean> {
  // Links inside may lead out; what they lead to is what counts.
  const [found, top] = await Promise.all([realOf(join(folder, path)), realOf(folder)]);
  if (found === undefined || top === undefined || (found !== top && !found.startsWith(`${top}/`))) return false;
  const about = await stat(found);
  if (about.isDirectory()) {
    const entries = await readdir(found, { withFileTypes: true });
    const lines = entries
      .map(entry => (entry.isDirectory() ? `${entry.name}/` : entry.name))
      .toSorted()
      .map(name => `<a href="${encodeURI(name)}">${escaped(name)}</a>\n`);
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(
      `<!doctype html>\n<meta name="viewport" content="width=device-width">\n<pre>\n${lines.join('')}</pre>\n`,
    );
    return true;
  }
  if (!about.isFile()) return false;
  response.setHeader('Content-Type', 'text/plain; charset=utf-8');
  // It may grow meanwhile: what was there at first is what is sent.
  if (about.size === 0) response.end();
  else await pipeline(createReadStream(found, { end: about.size - 1 }), response);
  return true;
}

async function realOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch {
    // There is none.
    return undefined;
  }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&#34;');
}
