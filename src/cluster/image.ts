import { createReadStream, existsSync } from 'node:fs';
import type { Flags } from './commands.ts';
import { dataDirFrom, livePid } from './data-dir.ts';
import { imageSocketClient, imageSocketPaths, type ImageSocketClient } from './image-socket.ts';

/** `windlass image load FILE | list | pull NAME | rm NAME`, on the nodes of this machine. */
export async function image(flags: Flags): Promise<number> {
  const dir = dataDirFrom(flags);
  if (livePid(dir, 'node-agent') === undefined)
    throw new Error(
      `cannot reach images: no node of the cluster in ${dir.path} runs on this machine; start it with \`windlass up\``,
    );
  const images = imageSocketClient(imageSocketPaths(dir));
  const [verb = '', argument] = flags.words;
  switch (verb) {
    case 'list':
    case 'ls':
      return list(images);
    case 'load':
      return load(images, needed(verb, 'FILE', argument));
    case 'pull': {
      const pulled = await images.pull(needed(verb, 'NAME', argument));
      process.stdout.write(`${pulled.id}\n`);
      return 0;
    }
    case 'rm':
      await images.remove(needed(verb, 'NAME', argument));
      return 0;
    default:
      throw new Error(`there is no command "image ${verb}"; \`windlass image --help\` lists them`);
  }
}

function needed(verb: string, what: string, argument: string | undefined): string {
  if (argument === undefined) throw new Error(`\`windlass image ${verb} ${what}\` needs its argument`);
  return argument;
}

async function load(images: ImageSocketClient, file: string): Promise<number> {
  if (file !== '-' && !existsSync(file)) throw new Error(`cannot read ${file}: there is no such file`);
  const names = await images.load(file === '-' ? process.stdin : createReadStream(file));
  for (const name of names) process.stdout.write(`loaded ${name}\n`);
  return 0;
}

async function list(images: ImageSocketClient): Promise<number> {
  const rows = (await images.list()).flatMap(each => {
    const names = each.repoTags.length > 0 ? each.repoTags : ['<none>'];
    return names.map(name => [name, each.id.replace(/^sha256:/, '').slice(0, 12), megabytes(each.sizeBytes)] as const);
  });
  const all = [['IMAGE', 'ID', 'SIZE'] as const, ...rows.toSorted((a, b) => (a[0] < b[0] ? -1 : 1))];
  const width = (column: 0 | 1) => Math.max(...all.map(row => row[column].length));
  for (const [name, id, size] of all)
    process.stdout.write(`${name.padEnd(width(0))}  ${id.padEnd(width(1))}  ${size}\n`);
  return 0;
}

function megabytes(bytes: number): string {
  return bytes < 100_000 ? `${(bytes / 1000).toFixed(1)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}
