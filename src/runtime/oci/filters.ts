import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { compileFilter } from '#base/kernel/seccomp.ts';
import type { OciSeccomp } from './seccomp.ts';
import type { OciSpec } from './spec.ts';

/** Different filters that are kept; a node's pods have a handful of capability sets. */
const filtersMax = 64;

/** Compiled system call filters, so that crun does not spend ten milliseconds on one for each container. */
export class Filters {
  readonly #scratch: string;
  readonly #compiled = new Map<string, string | undefined>();

  constructor(scratch: string) {
    this.#scratch = scratch;
  }

  /** The spec with its filter as byte code, which crun takes from an annotation; unchanged where that cannot be. */
  precompile(spec: OciSpec): OciSpec {
    const { seccomp, ...linux } = spec.linux;
    const code = seccomp && this.compile(seccomp);
    if (code === undefined) return spec;
    return { ...spec, linux, annotations: { ...spec.annotations, 'run.oci.seccomp_bpf_data': code } };
  }

  compile(rules: OciSeccomp): string | undefined {
    const key = JSON.stringify(rules);
    if (this.#compiled.has(key)) return this.#compiled.get(key);
    const code = compileFilter(rules, join(this.#scratch, `filter-${randomUUID()}`))?.toString('base64');
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size >= filtersMax && oldest !== undefined) this.#compiled.delete(oldest);
    this.#compiled.set(key, code);
    return code;
  }
}
