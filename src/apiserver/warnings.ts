import { limits } from '#base/limits.ts';

/** Collects the Warning headers of one answer: each once, and no more than upstream sends. */
export class Warnings {
  #texts: string[] | undefined;

  add(text: string): void {
    if (this.#texts?.includes(text)) return;
    (this.#texts ??= []).push(text);
  }

  /** Takes back what was collected so far. */
  take(): readonly string[] {
    const texts = this.#texts ?? [];
    this.#texts = undefined;
    return texts;
  }

  get headers(): readonly string[] | undefined {
    const texts = this.#texts;
    if (!texts) return undefined;
    const all = texts.map(clean);
    const total = all.reduce((sum, text) => sum + text.length, 0);
    if (total <= limits.warningHeaderCharactersMax) return all.map(header);
    const kept: string[] = [];
    let left: number = limits.warningHeaderCharactersMax;
    for (const text of all) {
      const cut = [...text].slice(0, cutCharacters).join('');
      if (cut.length > left) break;
      left -= cut.length;
      kept.push(header(cut));
    }
    return kept;
  }
}

/** When all together are too long, each is cut to this (upstream's value). */
const cutCharacters = 256;

function header(text: string): string {
  return `299 - "${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

/** Headers hold no control characters, and only Latin-1 goes over the wire. */
function clean(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').replace(/[^\u0000-\u00ff]/gu, '?');
}
