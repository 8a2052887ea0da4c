import type { Random } from '#base/random.ts';
import { Service } from '#api/core/v1/service.ts';
import { ExpectationError, type Storage } from '#storage/storage.ts';
import { prefix } from '../cache/watch-cache.ts';
import type { Resource } from '../registry.ts';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Gives out node ports. One number may serve several protocols of one Service. In a store that servers share they write
 * down what they take in one record, as upstream: /registry/ranges/servicenodeports.
 */
export class NodePorts {
  readonly first: number;
  readonly last: number;
  readonly #random: Random;
  readonly #shared: Storage | undefined;
  /** Port → how many Services have it. */
  readonly #inServices = new Map<number, number>();
  readonly #pending = new Set<number>();
  /** Ports of the record that no Service has, and in how many repairs it was so. */
  #unused = new Map<number, number>();

  constructor(range: PortRange, random: Random, storage: Storage) {
    this.first = range.first;
    this.last = range.last;
    this.#random = random;
    this.#shared = storage.shared && storage;
  }

  /** A free one, taken; undefined when there is none. */
  next(dryRun: boolean): Promise<number | undefined> {
    const pick = (isTaken: (port: number) => boolean) => {
      const count = this.last - this.first + 1;
      // The lower ports are left to those who ask for a certain one (KEP-3668).
      const band = count <= 16 ? 0 : Math.min(128, Math.max(16, Math.floor(count / 32)));
      return (
        this.#within(this.first + band, this.last, isTaken) ?? this.#within(this.first, this.first + band - 1, isTaken)
      );
    };
    return this.#reserve(pick, dryRun);
  }

  async take(port: number, dryRun: boolean): Promise<'taken' | 'outside' | undefined> {
    if (port < this.first || port > this.last) return 'outside';
    const taken = await this.#reserve(isTaken => (isTaken(port) ? undefined : port), dryRun);
    return taken === undefined ? 'taken' : undefined;
  }

  /** Nobody has them any longer. */
  async release(ports: readonly number[]): Promise<void> {
    for (const port of ports) this.#pending.delete(port);
    if (this.#shared && ports.length > 0)
      await this.#change(this.#shared, taken => {
        for (const port of ports) taken.delete(port);
      });
  }

  /** What was taken is in a Service now. */
  settle(ports: readonly number[]): void {
    for (const port of ports) this.#pending.delete(port);
  }

  /** What the Services have is taken, whatever else is known. */
  count(spec: Service['spec'], by: 1 | -1): void {
    for (const port of new Set(nodePortsOf(spec))) {
      const count = (this.#inServices.get(port) ?? 0) + by;
      if (count > 0) this.#inServices.set(port, count);
      else this.#inServices.delete(port);
    }
  }

  /** Writes down what Services have, and strikes out what none has had in three repairs (upstream's patience). */
  async repair(services: Resource): Promise<void> {
    if (!this.#shared) return;
    const held = new Set<number>();
    for (const entry of services.cache.all())
      for (const port of nodePortsOf((entry.object as Service).spec)) held.add(port);
    await this.#change(this.#shared, taken => {
      const unused = new Map<number, number>();
      for (const port of taken) {
        if (held.has(port) || this.#pending.has(port)) continue;
        const repairs = (this.#unused.get(port) ?? 0) + 1;
        if (repairs >= repairsUntilStruck) taken.delete(port);
        else unused.set(port, repairs);
      }
      this.#unused = unused;
      for (const port of held) if (port >= this.first && port <= this.last) taken.add(port);
    });
  }

  async #reserve(
    pick: (isTaken: (port: number) => boolean) => number | undefined,
    dryRun: boolean,
  ): Promise<number | undefined> {
    const isKnown = (port: number) => this.#pending.has(port) || this.#inServices.has(port);
    if (!this.#shared || dryRun) {
      const port = pick(isKnown);
      if (port !== undefined && !dryRun) this.#pending.add(port);
      return port;
    }
    const port = await this.#change(this.#shared, taken => {
      const picked = pick(each => isKnown(each) || taken.has(each));
      if (picked !== undefined) taken.add(picked);
      return picked;
    });
    if (port !== undefined) this.#pending.add(port);
    return port;
  }

  /** Changes the record, again when another server was faster. */
  async #change<Value>(storage: Storage, change: (taken: Set<number>) => Value): Promise<Value> {
    while (true) {
      const entry = await storage.get(recordKey);
      const before = entry ? this.#portsIn(entry.value.bytes) : new Set<number>();
      const taken = new Set(before);
      const result = change(taken);
      if (entry && taken.symmetricDifference(before).size === 0) return result;
      try {
        await storage.put(recordKey, { bytes: this.#recordOf(taken) }, entry?.modRevision ?? 'absent');
        return result;
      } catch (error) {
        if (!(error instanceof ExpectationError)) throw error;
      }
    }
  }

  /** A RangeAllocation: its data are the bits of one large number, port by port from the first of the range on. */
  #recordOf(taken: ReadonlySet<number>): Buffer {
    let bits = 0n;
    for (const port of taken) bits |= 1n << BigInt(port - this.first);
    const hex = bits.toString(16);
    const data = bits === 0n ? '' : Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64');
    return Buffer.from(
      `${JSON.stringify({
        kind: 'RangeAllocation',
        apiVersion: 'v1',
        metadata: { creationTimestamp: null },
        range: `${this.first}-${this.last}`,
        data,
      })}\n`,
    );
  }

  /** Of a record about another range only what both have. */
  #portsIn(bytes: Uint8Array): Set<number> {
    const { range, data } = JSON.parse(Buffer.from(bytes).toString()) as { range: string; data?: string };
    const first = Number(range.split('-')[0]);
    const taken = new Set<number>();
    const big = Buffer.from(data ?? '', 'base64');
    for (let offset = 0; offset < big.length * 8; offset++) {
      const byte = big[big.length - 1 - (offset >> 3)] as number;
      const port = first + offset;
      if (byte & (1 << (offset & 7)) && port >= this.first && port <= this.last) taken.add(port);
    }
    return taken;
  }

  #within(first: number, last: number, isTaken: (port: number) => boolean): number | undefined {
    const count = last - first + 1;
    if (count <= 0) return undefined;
    const start = Math.floor(this.#random.next() * count);
    for (let step = 0; step < count; step++) {
      const port = first + ((start + step) % count);
      if (!isTaken(port)) return port;
    }
    return undefined;
  }
}

const recordKey = `${prefix}ranges/servicenodeports`;
const repairsUntilStruck = 3;

export function nodePortsOf(spec: Service['spec']): readonly number[] {
  const own = (spec.ports ?? []).map(port => port.nodePort ?? 0);
  return [...own, spec.healthCheckNodePort ?? 0].filter(port => port !== 0);
}
