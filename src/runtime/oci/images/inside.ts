import { lstat, open, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { constants } from 'node:fs';
import { RuntimeError } from '../../runtime.ts';

const linksFollowedMax = 40;

/**
 * The host path of a path inside a root file system, with links followed as seen from inside. Only for trees that
 * nobody changes meanwhile.
 */
export async function resolveInside(root: string, path: string): Promise<string> {
  const rest = path.split('/').filter(part => part !== '' && part !== '.');
  const at: string[] = [];
  let links = 0;
  while (rest.length > 0) {
    const part = rest.shift() as string;
    if (part === '..') {
      at.pop();
      continue;
    }
    const here = join(root, ...at, part);
    const found = await lstat(here).catch((cause: unknown) => {
      throw new RuntimeError('NotFound', `cannot find ${path} in the image`, { cause });
    });
    if (!found.isSymbolicLink()) {
      at.push(part);
      continue;
    }
    if (++links > linksFollowedMax) throw new RuntimeError('InvalidArgument', `too many links in ${path}`);
    const target = await readlink(here);
    if (target.startsWith('/')) at.length = 0;
    rest.unshift(...target.split('/').filter(piece => piece !== '' && piece !== '.'));
  }
  return join(root, ...at);
}

/** The text of a regular file inside a root file system; empty when it is not there. */
export async function readInside(root: string, path: string, bytesMax: number): Promise<string> {
  const resolved = await resolveInside(root, path).catch(() => undefined);
  if (resolved === undefined) return '';
  // Not blocking: an image may have a pipe where a file is expected.
  const file = await open(resolved, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const found = await file.stat();
    if (!found.isFile()) return '';
    if (found.size > bytesMax)
      throw new RuntimeError('InvalidArgument', `${path} of the image is larger than ${bytesMax} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
