import type { Random } from '#base/random.ts';
import { decodeJson, encodeJson } from '#api/machinery/json.ts';
import { below, pick, type Target } from './target.ts';

const inputBytesMax = 64 * 1024;

/** Another input that is like this one. `other` gives one to take parts from. */
export function mutated(target: Target, input: Buffer, other: () => Buffer, random: Random): Buffer {
  let changed = input;
  for (let rounds = 1 + below(random, 4); rounds > 0; rounds--) changed = changedOnce(target, changed, other, random);
  return changed.subarray(0, inputBytesMax);
}

function changedOnce(target: Target, input: Buffer, other: () => Buffer, random: Random): Buffer {
  if (target.form === 'json' && random.next() < 0.8) return changedTree(target, input, other, random) ?? input;
  const words = target.words ?? [];
  if (target.form !== 'bytes' && words.length > 0 && random.next() < 0.5)
    return withWord(input, pick(random, words), random);
  return pick(random, byteChanges)(input, random, other);
}

type ByteChange = (input: Buffer, random: Random, other: () => Buffer) => Buffer;

const oddBytes = [0, 1, 9, 10, 13, 32, 34, 39, 44, 45, 46, 47, 58, 92, 127, 128, 192, 224, 240, 255];
const oddTexts = [
  '0',
  '-1',
  '9223372036854775807',
  '9223372036854775808',
  '-9223372036854775808',
  '4294967295',
  '2147483648',
  '1e309',
  '1e-400',
  '0x7f',
  '00',
  '\u0000',
  '\ud83d\ude00',
  'é',
  '\ufeff',
  '\u2028',
  '__proto__',
  'constructor',
  'null',
  'true',
  '{}',
  '[]',
  '""',
  '../',
  '%00',
  '\r\n',
  '\t',
];

const byteChanges: readonly ByteChange[] = [
  (input, random) => {
    const copy = Buffer.from(input);
    if (copy.length > 0) copy[below(random, copy.length)] = below(random, 256);
    return copy;
  },
  (input, random) => {
    const copy = Buffer.from(input);
    const at = below(random, copy.length);
    if (copy.length > 0) copy[at] = (copy[at] as number) ^ (1 << below(random, 8));
    return copy;
  },
  (input, random) => inserted(input, below(random, input.length + 1), Buffer.of(pick(random, oddBytes))),
  (input, random) => inserted(input, below(random, input.length + 1), Buffer.from(pick(random, oddTexts))),
  (input, random) => {
    const [from, to] = range(input, random);
    return Buffer.concat([input.subarray(0, from), input.subarray(to)]);
  },
  (input, random) => {
    const [from, to] = range(input, random);
    const times = random.next() < 0.05 ? 200 : 1;
    return inserted(
      input,
      to,
      Buffer.concat(Array.from({ length: times }, () => input.subarray(from, Math.min(to, from + 300)))),
    );
  },
  (input, random, other) => {
    const source = other();
    const [from, to] = range(source, random);
    return inserted(input, below(random, input.length + 1), source.subarray(from, to));
  },
  (input, random, other) => {
    const source = other();
    return Buffer.concat([
      input.subarray(0, below(random, input.length)),
      source.subarray(below(random, source.length)),
    ]);
  },
  (input, random) => input.subarray(0, below(random, input.length + 1)),
  (input, random) => {
    // A number that counts something: lengths and sizes of binary forms.
    const copy = Buffer.from(input);
    const bytes = pick(random, [2, 3, 4]);
    if (copy.length < bytes) return copy;
    const value =
      pick(random, [0, 1, 2 ** (8 * bytes) - 1, 2 ** (8 * bytes - 1), below(random, 70_000)]) % 2 ** (8 * bytes);
    copy.writeUIntBE(value, below(random, copy.length - bytes + 1), bytes);
    return copy;
  },
];

function range(input: Buffer, random: Random): readonly [number, number] {
  const from = below(random, input.length + 1);
  return [from, Math.min(input.length, from + 1 + below(random, random.next() < 0.5 ? 8 : 256))];
}

function inserted(input: Buffer, at: number, part: Uint8Array): Buffer {
  return Buffer.concat([input.subarray(0, at), part, input.subarray(at)]);
}

/** Puts a word at a place where words begin or end, or in the place of one. */
function withWord(input: Buffer, word: string, random: Random): Buffer {
  const text = input.toString();
  const ends = [0, text.length, ...[...text.matchAll(/\b/g)].map(({ index }) => index)];
  const from = pick(random, ends);
  const later = ends.filter(end => end > from).toSorted((a, b) => a - b);
  const to = random.next() < 0.5 ? from : (later[0] ?? from);
  return Buffer.from(text.slice(0, from) + word + text.slice(to));
}

const oddValues: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  1.5,
  2 ** 31,
  2 ** 53,
  -(2 ** 40),
  '',
  'a',
  '1',
  '-1',
  '100m',
  '1Gi',
  '50%',
  'TCP',
  'x'.repeat(300),
  '2020-01-01T00:00:00Z',
  '0001-01-01T00:00:00Z',
  'AAAA',
  [],
  {},
  [null],
  [{}],
  [[]],
  { a: null },
  { '': '' },
  '\u0000',
  'é',
  '__proto__',
  '$patch',
  'replace',
  'delete',
  'merge',
];

type Tree = Record<string | number, unknown>;

/** Undefined when the input is no JSON. */
function changedTree(target: Target, input: Buffer, other: () => Buffer, random: Random): Buffer | undefined {
  const root = treeOf(input);
  if (root === undefined) return undefined;
  const holder: Tree = { root };
  const [parent, key] = placeIn(holder, 'root', random);
  const node = parent[key];
  const names = [...(target.words ?? []), '__proto__', 'constructor', '', 'name', 'metadata', 'a.b/c~0'];
  switch (below(random, 9)) {
    case 0:
    case 1:
      setOwn(parent, key, structuredClone(pick(random, oddValues)));
      break;
    case 2:
      if (Array.isArray(parent)) parent.splice(Number(key), 1);
      else if (parent !== holder) delete parent[key];
      break;
    case 3: {
      const foreign = treeOf(other());
      const [there, name] = placeIn({ foreign }, 'foreign', random);
      setOwn(parent, key, there[name]);
      break;
    }
    case 4:
      if (Array.isArray(node))
        node.splice(
          below(random, node.length + 1),
          0,
          structuredClone(node[below(random, node.length)] ?? pick(random, oddValues)),
        );
      else if (isTree(node)) setOwn(node, pick(random, names), structuredClone(pick(random, oddValues)));
      else setOwn(parent, key, pick(random, names));
      break;
    case 5:
      setOwn(parent, key, random.next() < 0.5 ? [node] : { [pick(random, names)]: node });
      break;
    case 6: {
      const [there, name] = placeIn(holder, 'root', random);
      setOwn(parent, key, structuredClone(there[name]));
      break;
    }
    case 7:
      if (Array.isArray(node)) node.reverse();
      else if (typeof node === 'string') setOwn(parent, key, node + pick(random, oddTexts));
      else if (typeof node === 'number') setOwn(parent, key, node + pick(random, [-1, 1, 0.5, 2 ** 31]));
      else setOwn(parent, key, structuredClone(pick(random, oddValues)));
      break;
    default: {
      const word = pick(random, names);
      if (isTree(node) && !Array.isArray(node)) {
        const old = Object.keys(node)[below(random, Object.keys(node).length)];
        if (old !== undefined) {
          setOwn(node, word, node[old]);
          if (word !== old) delete node[old];
        }
      } else setOwn(parent, key, word);
    }
  }
  return Buffer.from(encodeJson(holder['root']) ?? 'null');
}

function treeOf(input: Buffer): unknown {
  try {
    return decodeJson(input);
  } catch {
    // No document any more; it is changed as bytes.
    return undefined;
  }
}

/** A place somewhere in the tree, shallow ones more often than not. */
function placeIn(holder: Tree, root: string, random: Random): [Tree, string | number] {
  let parent = holder;
  let key: string | number = root;
  while (random.next() < 0.75) {
    const node: unknown = parent[key];
    if (!isTree(node)) break;
    const keys: readonly string[] = Object.keys(node);
    if (keys.length === 0) break;
    parent = node;
    key = pick(random, keys);
  }
  return [parent, key];
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null;
}

function setOwn(parent: Tree, key: string | number, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(parent, key, { value, writable: true, enumerable: true, configurable: true });
  else parent[key] = value;
}
