import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ManualClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { NftTable } from './table.ts';

/** A kernel that understands just what the table writes, all or nothing. */
class FakeKernel {
  sets = new Map<string, Map<string, string>>();
  readonly scripts: string[] = [];
  refuse: string | undefined;
  /** Scripts wait while it is set. */
  gate: Promise<void> | undefined;

  readonly run = async (script: string): Promise<void> => {
    await this.gate;
    if (this.refuse !== undefined) throw new Error(this.refuse);
    this.scripts.push(script);
    const next = /^delete table/m.test(script)
      ? new Map<string, Map<string, string>>()
      : new Map([...this.sets].map(([name, elements]) => [name, new Map(elements)] as const));
    for (const [, verb, set = '', list = ''] of script.matchAll(
      /^(add|delete) element inet t (\S+) \{\n(.*?)\n\}$/gms,
    )) {
      const elements = next.get(set) ?? new Map<string, string>();
      next.set(set, elements);
      for (const line of list.split(',\n')) {
        const [key = '', value = ''] = line.split(' : ');
        if (verb === 'delete' ? !elements.delete(key) : elements.has(key)) throw new Error(`cannot ${verb} ${key}`);
        if (verb === 'add') elements.set(key, value);
      }
    }
    this.sets = next;
  };
}

function opened() {
  const kernel = new FakeKernel();
  const table = new NftTable({
    name: 't',
    declarations: 'map m { }',
    clock: new ManualClock(),
    log: silentLog,
    run: kernel.run,
  });
  return { kernel, table };
}

test('the first write is the whole table, later ones what has changed', async () => {
  const { kernel, table } = opened();
  table.set('m', 'a', '1');
  table.set('m', 'b', '2');
  await table.flush();
  assert.match(kernel.scripts[0] ?? '', /delete table inet t\n.*map m/s);
  table.set('m', 'b', '3');
  table.set('m', 'c', '4');
  table.delete('m', 'a');
  await table.flush();
  assert.equal(kernel.scripts[1], 'delete element inet t m {\nb,\na\n}\nadd element inet t m {\nb : 3,\nc : 4\n}\n');
  table.set('m', 'd', '5');
  table.delete('m', 'd');
  await table.flush();
  assert.equal(kernel.scripts.length, 2, 'what comes and goes between two writes is not written');
});

test('a chain is written once, before what goes to it', async () => {
  const { kernel, table } = opened();
  await table.flush();
  table.addChain('random-2', 'accept');
  table.set('m', 'a', 'goto random-2');
  await table.flush();
  assert.match(kernel.scripts[1] ?? '', /chain random-2 \{\naccept\n\}\n\}\nadd element/);
  table.addChain('random-2', 'accept');
  await table.flush();
  assert.equal(kernel.scripts.length, 2);
});

test('a change that is refused is followed by the whole table', async () => {
  const { kernel, table } = opened();
  table.set('m', 'a', '1');
  await table.flush();
  kernel.sets.get('m')?.delete('a');
  table.set('m', 'a', '2');
  await table.flush();
  assert.match(kernel.scripts.at(-1) ?? '', /delete table/);
  assert.equal(kernel.sets.get('m')?.get('a'), '2');
  kernel.refuse = 'no';
  table.set('m', 'a', '3');
  await assert.rejects(table.flush(), /no/);
  kernel.refuse = undefined;
  await table.flush();
  assert.equal(kernel.sets.get('m')?.get('a'), '3');
});

test('changes during a write are in the next one, and flush waits for them', async () => {
  const { kernel, table } = opened();
  await table.flush();
  const { promise, resolve } = Promise.withResolvers<void>();
  kernel.gate = promise;
  table.set('m', 'a', '1');
  const first = table.flush();
  table.set('m', 'a', '2');
  const second = table.flush();
  resolve();
  await Promise.all([first, second]);
  assert.equal(kernel.sets.get('m')?.get('a'), '2');
});

test('whatever is wanted in whatever order is what the kernel has', async () => {
  const change = fc.record({
    key: fc.constantFrom('a', 'b', 'c', '__proto__'),
    value: fc.option(fc.constantFrom('1', '2')),
    flush: fc.boolean(),
    refuse: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 30 }), async changes => {
      const { kernel, table } = opened();
      const wanted = new Map<string, string>();
      for (const { key, value, flush, refuse } of changes) {
        if (value === null) {
          table.delete('m', key);
          wanted.delete(key);
        } else {
          table.set('m', key, value);
          wanted.set(key, value);
        }
        kernel.refuse = refuse ? 'no' : undefined;
        if (flush) await table.flush().catch(() => undefined);
      }
      kernel.refuse = undefined;
      await table.flush();
      assert.deepEqual(new Map([...(kernel.sets.get('m') ?? [])].toSorted()), new Map([...wanted].toSorted()));
    }),
  );
});

/** What a ruleset has in sets and chains, refusing what nft would refuse. */
class FakeObjects {
  sets = new Map<string, Set<string>>();
  chains = new Set<string>();
  refuse = false;

  readonly run = async (script: string): Promise<void> => {
    if (this.refuse) throw new Error('no');
    const isWhole = /^delete table/m.test(script);
    const sets = isWhole
      ? new Map<string, Set<string>>()
      : new Map([...this.sets].map(([name, keys]) => [name, new Set(keys)] as const));
    const chains = new Set(isWhole ? [] : this.chains);
    const command =
      /^(?<verb>add|delete) element inet t (?<into>\S+) \{\n(?<keys>.*?)\n\}$|^add set inet t (?<newSet>\S+) |^set (?<declared>\S+) \{|^delete set inet t (?<oldSet>\S+)$|^chain (?<chain>\S+) \{$|^delete chain inet t (?<oldChain>\S+)$/gms;
    for (const { groups = {} } of script.matchAll(command)) {
      const { verb, into = '', keys = '', newSet, declared, oldSet, chain, oldChain } = groups;
      const added = newSet ?? declared;
      if (verb !== undefined) {
        const set = sets.get(into);
        if (!set) throw new Error(`no set ${into}`);
        for (const key of keys.split(',\n')) {
          if (set.has(key) === (verb === 'add')) throw new Error(`cannot ${verb} ${key}`);
          if (verb === 'add') set.add(key);
          else set.delete(key);
        }
      } else if (added !== undefined) {
        if (sets.has(added)) throw new Error(`there is a set ${added}`);
        sets.set(added, new Set());
      } else if (oldSet !== undefined && !sets.delete(oldSet)) throw new Error(`no set ${oldSet}`);
      else if (chain !== undefined) {
        if (chains.has(chain)) throw new Error(`its rules would be doubled: ${chain}`);
        chains.add(chain);
      } else if (oldChain !== undefined && !chains.delete(oldChain)) throw new Error(`no chain ${oldChain}`);
    }
    this.sets = sets;
    this.chains = chains;
  };
}

test('sets and chains that come and go in whatever order are those that the kernel has', async () => {
  const change = fc.record({
    what: fc.constantFrom('set', 'unset', 'chain', 'unchain', 'element', 'nothing'),
    name: fc.constantFrom('a', 'b'),
    key: fc.constantFrom('1', '2'),
    flush: fc.boolean(),
    refuse: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(change, { maxLength: 40 }), async changes => {
      const kernel = new FakeObjects();
      const rewritten: string[] = [];
      const table = new NftTable({
        name: 't',
        declarations: '',
        clock: new ManualClock(),
        log: { ...silentLog, warn: message => rewritten.push(message) },
        run: kernel.run,
      });
      const [sets, chains] = [new Map<string, Set<string>>(), new Set<string>()];
      let isRefusing = false;
      for (const { what, name, key, flush, refuse } of changes) {
        if (what === 'set') {
          table.addSet(name, 'type x;');
          if (!sets.has(name)) sets.set(name, new Set());
        } else if (what === 'unset') {
          table.removeSet(name);
          sets.delete(name);
        } else if (what === 'chain') {
          table.addChain(name, 'accept');
          chains.add(name);
        } else if (what === 'unchain') {
          table.removeChain(name);
          chains.delete(name);
        } else if (what === 'element' && sets.has(name)) {
          table.set(name, key);
          sets.get(name)?.add(key);
        } else if (what === 'nothing') {
          table.delete(name, key);
          sets.get(name)?.delete(key);
        }
        kernel.refuse = refuse;
        isRefusing ||= refuse && flush;
        if (flush) await table.flush().catch(() => undefined);
      }
      kernel.refuse = false;
      await table.flush();
      const sorted = (all: ReadonlyMap<string, Set<string>>) =>
        [...all].map(([name, keys]) => [name, [...keys].toSorted()] as const).toSorted();
      assert.deepEqual(sorted(kernel.sets), sorted(sets));
      assert.deepEqual([...kernel.chains].filter(name => name !== 'intact').toSorted(), [...chains].toSorted());
      if (!isRefusing) assert.deepEqual(rewritten, []);
    }),
  );
});
