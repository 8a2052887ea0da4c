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
