/** HPACK's Huffman code (RFC 7541, appendix B). It is canonical: the lengths of the codes are the whole table. */
// prettier-ignore
const codeLengths = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26,
];

/** Decodes a Huffman-coded string into `target` and answers with its length there; -1 when it is malformed. */
export function decodeHuffman(source: Uint8Array, from: number, to: number, target: Uint8Array): number {
  table ??= buildTable();
  const { symbols, lengths } = table;
  const end = (to - from) * 8;
  let length = 0;
  for (let at = 0; at < end; ) {
    const index = from + (at >> 3);
    const pair = ((source[index] as number) << 8) | (index + 1 < to ? (source[index + 1] as number) : 0xff);
    const next = (pair >> (8 - (at & 7))) & 0xff;
    const size = lengths[next] as number;
    if (size === 0) {
      // Longer than eight bits, or the padding at the end.
      const found = longCode(table, source, from, at, end);
      if (found === undefined) return isPadding(source, from, at, end) ? length : -1;
      target[length++] = found.symbol;
      at += found.size;
    } else {
      if (at + size > end) return isPadding(source, from, at, end) ? length : -1;
      target[length++] = symbols[next] as number;
      at += size;
    }
  }
  return length;
}

const codeBitsMax = 30;

/** Rare characters: bit by bit. */
function longCode(
  { firstCodes, offsets, ordered }: Table,
  source: Uint8Array,
  from: number,
  at: number,
  end: number,
): { readonly symbol: number; readonly size: number } | undefined {
  let code = 0;
  for (let size = 1; size <= codeBitsMax && at + size <= end; size++) {
    code = code * 2 + bitAt(source, from, at + size - 1);
    const index = code - (firstCodes[size] as number);
    const offset = offsets[size] as number;
    if (index >= 0 && index < (offsets[size + 1] as number) - offset)
      return { symbol: ordered[offset + index] as number, size };
  }
  return undefined;
}

/** What is left at the end is less than a byte, and all ones. */
function isPadding(source: Uint8Array, from: number, at: number, end: number): boolean {
  if (end - at >= 8) return false;
  for (let bit = at; bit < end; bit++) if (bitAt(source, from, bit) === 0) return false;
  return true;
}

function bitAt(source: Uint8Array, from: number, bit: number): number {
  return ((source[from + (bit >> 3)] as number) >> (7 - (bit & 7))) & 1;
}

interface Table {
  /** By the next eight bits: the character, and the length of its code; length 0: the code is longer. */
  readonly symbols: Uint8Array;
  readonly lengths: Uint8Array;
  /** By length of code: the first code, and where its characters begin in `ordered`. */
  readonly firstCodes: Int32Array;
  readonly offsets: Int32Array;
  readonly ordered: readonly number[];
}

let table: Table | undefined;

function buildTable(): Table {
  const ordered = codeLengths
    .map((_, symbol) => symbol)
    .sort((a, b) => (codeLengths[a] as number) - (codeLengths[b] as number) || a - b);
  const symbols = new Uint8Array(256);
  const lengths = new Uint8Array(256);
  const firstCodes = new Int32Array(codeBitsMax + 2);
  const offsets = new Int32Array(codeBitsMax + 2);
  let code = 0;
  let at = 0;
  for (let size = 1; size <= codeBitsMax; size++) {
    code *= 2;
    firstCodes[size] = code;
    offsets[size] = at;
    for (; at < ordered.length && codeLengths[ordered[at] as number] === size; at++, code++) {
      if (size > 8) continue;
      const first = code << (8 - size);
      symbols.fill(ordered[at] as number, first, first + (1 << (8 - size)));
      lengths.fill(size, first, first + (1 << (8 - size)));
    }
  }
  offsets[codeBitsMax + 1] = at;
  return { symbols, lengths, firstCodes, offsets, ordered };
}
