import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { Pod } from '#api/core/v1/pod.ts';
import { align, type Hints, hintsFor, nodesOf, setOf } from './alignment.ts';
import { chooseCpus } from './choose-cpus.ts';
import { ExclusiveCpus } from './exclusive-cpus.ts';
import { formatCpus, type MachineTopology, parseCpus, readTopology } from './machine-topology.ts';
import { NodeMemory } from './node-memory.ts';

const directory = mkdtempSync(join(tmpdir(), 'windlass-resources-'));
after(() => rmSync(directory, { recursive: true, force: true }));
let files = 0;
const stateFile = () => join(directory, `state-${files++}`);
const gibi = 2 ** 30;

/** Two sockets with a node each; four cores of two threads each, numbered as the kernel does. */
const twoNodes: MachineTopology = {
  cpus: Array.from({ length: 16 }, (_, id) => {
    const core = id % 8;
    const socket = Math.floor(core / 4);
    return { id, core: `${socket}/${core}`, socket, node: socket };
  }),
  nodes: [0, 1].map(id => ({ id, memoryBytes: 8 * gibi, hugepages: new Map([['hugepages-2Mi', gibi]]) })),
};

const pod = (uid: string, containers: Record<string, object>, init: Record<string, object> = {}): Pod => {
  const list = (from: Record<string, object>) =>
    Object.entries(from).map(([name, limits]) => ({ name, resources: { limits, requests: limits } }));
  return {
    metadata: { name: uid, namespace: 'default', uid },
    spec: { containers: list(containers), initContainers: list(init) },
  } as unknown as Pod;
};
const containerOf = ({ spec }: Pod, name: string) => {
  const found = [...(spec.initContainers ?? []), ...spec.containers].find(each => each.name === name);
  assert.ok(found);
  return found;
};

describe('CPUs and nodes of a machine', () => {
  test('lists are read and written as the kernel does', () => {
    assert.deepEqual(parseCpus('0-2,7, 5'), [0, 1, 2, 5, 7]);
    assert.equal(formatCpus([7, 0, 1, 2, 5]), '0-2,5,7');
    assert.equal(formatCpus([]), '');
    for (const text of ['a', '3-1', '-1', '0,']) assert.throws(() => parseCpus(text), /cannot read the CPUs/);
  });

  test('they are read from the kernel’s files', () => {
    const root = join(directory, 'sys');
    const write = (path: string, text: string) => {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), `${text}\n`);
    };
    write('cpu/online', '0-3');
    for (const id of [0, 1, 2, 3]) {
      write(`cpu/cpu${id}/topology/core_id`, String(id % 2));
      write(`cpu/cpu${id}/topology/physical_package_id`, '0');
    }
    write('node/node0/cpulist', '0,2');
    write('node/node1/cpulist', '1,3');
    for (const id of [0, 1]) {
      write(`node/node${id}/meminfo`, `Node ${id} MemTotal:       1024 kB`);
      write(`node/node${id}/hugepages/hugepages-2048kB/nr_hugepages`, String(id * 3));
    }
    const { cpus, nodes } = readTopology(root);
    assert.deepEqual(cpus[2], { id: 2, core: '0/0', socket: 0, node: 0 });
    assert.deepEqual(nodes[1], { id: 1, memoryBytes: 2 ** 20, hugepages: new Map([['hugepages-2Mi', 6 * 2 ** 20]]) });
  });

  test('this machine has CPUs on a node', () => {
    const { cpus, nodes } = readTopology();
    assert.ok(cpus.length > 0 && nodes.length > 0);
    assert.ok(cpus.every(({ node }) => nodes.some(({ id }) => id === node)));
  });
});

describe('CPUs near to each other', () => {
  const all = new Set(twoNodes.cpus.map(({ id }) => id));
  const without = (...ids: number[]) => new Set([...all].filter(id => !ids.includes(id)));
  const cases: readonly [string, ReadonlySet<number>, number, string | undefined][] = [
    ['a whole core for two', all, 2, '0,8'],
    ['a thread for one', all, 1, '0'],
    ['a whole socket', all, 8, '0-3,8-11'],
    ['the other socket, when the first is touched', without(0), 8, '4-7,12-15'],
    ['the rest of a core that is touched already', without(0), 1, '8'],
    ['a core and a thread beside it', all, 3, '0-1,8'],
    ['whole cores where fewer are left, so that the other socket stays whole', without(0, 8), 2, '1,9'],
    ['none when there are too few', without(...parseCpus('0-13')), 3, undefined],
  ];
  for (const [what, free, wanted, expected] of cases)
    test(what, () => {
      const chosen = chooseCpus(twoNodes.cpus, free, wanted);
      assert.equal(chosen && formatCpus(chosen), expected);
    });
});

describe('alignment', () => {
  const one = { nodes: setOf([0]), preferred: true };
  const other = { nodes: setOf([1]), preferred: true };
  const both = { nodes: setOf([0, 1]), preferred: false };
  const cases: readonly [
    string,
    Parameters<typeof align>[0],
    readonly Hints[],
    readonly number[] | undefined,
    boolean,
  ][] = [
    ['nobody cares', 'restricted', [undefined], [0, 1], true],
    ['none asks nobody', 'none', [[]], undefined, true],
    [
      'one and the same node',
      'restricted',
      [
        [one, other, both],
        [other, both],
      ],
      [1],
      true,
    ],
    ['the lower of two nodes', 'best-effort', [[one, other], undefined], [0], true],
    ['different nodes only: not preferred', 'restricted', [[one], [other]], [0, 1], false],
    ['different nodes only, and it does not matter', 'best-effort', [[one], [other]], [0, 1], true],
    ['one spans both', 'restricted', [[one, both], [{ ...both, preferred: true }]], [0, 1], false],
    ['all span both', 'restricted', [[{ ...both, preferred: true }], [{ ...both, preferred: true }]], [0, 1], true],
    [
      'a single node is wanted, and all span both',
      'single-numa-node',
      [[{ ...both, preferred: true }]],
      undefined,
      false,
    ],
    [
      'a single node is wanted and there',
      'single-numa-node',
      [
        [one, both],
        [one, other],
      ],
      [0],
      true,
    ],
    ['nothing fits anywhere', 'best-effort', [[]], [0, 1], true],
    ['nothing fits anywhere, and it matters', 'single-numa-node', [[]], undefined, false],
  ];
  for (const [what, policy, hints, nodes, admitted] of cases)
    test(`${policy}: ${what}`, () => {
      const found = align(policy, [0, 1], hints);
      assert.equal(found.admitted, admitted);
      assert.deepEqual(found.hint.nodes === undefined ? undefined : nodesOf(found.hint.nodes), nodes);
    });

  test('a set of nodes is preferred when no smaller one could ever do', () => {
    const each = (total: number) => (set: number) => nodesOf(set).length * total;
    assert.deepEqual(hintsFor([0, 1], each(4), each(4), 4), [
      { nodes: 1, preferred: true },
      { nodes: 2, preferred: true },
      { nodes: 3, preferred: false },
    ]);
    assert.deepEqual(hintsFor([0, 1], each(4), each(2), 4), [{ nodes: 3, preferred: false }]);
    assert.deepEqual(hintsFor([0, 1], each(2), each(2), 4), [{ nodes: 3, preferred: true }]);
  });
});

describe('whole CPUs', () => {
  const open = (more: Partial<ConstructorParameters<typeof ExclusiveCpus>[0]> = {}) => {
    const options = {
      machine: twoNodes,
      reserved: [0, 8] as readonly number[],
      wholeCoresOnly: false,
      strictReservation: false,
      stateFile: stateFile(),
      changed: () => {},
      ...more,
    };
    return { options, cpus: new ExclusiveCpus(options) };
  };
  const taken = (cpus: ExclusiveCpus, of: Pod, name: string, nodes?: number) => {
    cpus.take(of, containerOf(of, name), nodes);
    return formatCpus(cpus.of(of.metadata.uid ?? '', name) ?? []);
  };

  test('Guaranteed pods with whole CPUs have them for themselves; all others share the rest', () => {
    const { cpus, options } = open();
    const a = pod('a', { main: { cpu: '2', memory: '1Gi' }, half: { cpu: '500m', memory: '1Gi' } });
    assert.equal(taken(cpus, a, 'main'), '1,9');
    assert.equal(taken(cpus, a, 'half'), '');
    assert.equal(formatCpus(cpus.shared), '0,2-8,10-15');
    const state = JSON.parse(readFileSync(options.stateFile, 'utf8')) as object;
    assert.deepEqual(state, {
      policyName: 'static',
      defaultCpuSet: '0,2-8,10-15',
      entries: { a: { main: '1,9' } },
    });
    const again = new ExclusiveCpus(options);
    assert.equal(formatCpus(again.of('a', 'main') ?? []), '1,9');
    again.release('a');
    assert.equal(formatCpus(again.shared), '0-15');
  });

  test('burstable pods share', () => {
    const { cpus } = open();
    const burstable = pod('b', { main: { cpu: '2' } });
    assert.equal(taken(cpus, burstable, 'main'), '');
    assert.equal(cpus.hints(burstable, burstable.spec.containers).size, 0);
  });

  test('what init containers have, containers get', () => {
    const { cpus } = open();
    const a = pod('a', { main: { cpu: '2', memory: '1Gi' } }, { first: { cpu: '14', memory: '1Gi' } });
    assert.equal(taken(cpus, a, 'first'), '1-7,9-15');
    assert.equal(taken(cpus, a, 'main').split(',').length, 2);
  });

  test('they come from the nodes they are to come from, as far as there are any', () => {
    const { cpus } = open();
    const a = pod('a', { main: { cpu: '4', memory: '1Gi' } });
    assert.equal(taken(cpus, a, 'main', setOf([1])), '4-5,12-13');
    const hints = cpus.hints(pod('b', {}), [containerOf(pod('b', { main: { cpu: '6', memory: '1Gi' } }), 'main')]);
    assert.equal(hints.size, 0);
    const b = pod('b', { main: { cpu: '6', memory: '1Gi' } });
    assert.deepEqual(cpus.hints(b, b.spec.containers).get('cpu'), [
      { nodes: 1, preferred: true },
      { nodes: 3, preferred: false },
    ]);
  });

  test('too many are refused in upstream’s words', () => {
    const { cpus } = open();
    const a = pod('a', { main: { cpu: '15', memory: '1Gi' } });
    assert.throws(
      () => taken(cpus, a, 'main'),
      /not enough cpus available to satisfy request: requested=15, available=14/,
    );
  });

  test('full-pcpus-only gives whole cores or none', () => {
    const { cpus } = open({ wholeCoresOnly: true });
    assert.throws(() => taken(cpus, pod('a', { main: { cpu: '3', memory: '1Gi' } }), 'main'), {
      reason: 'SMTAlignmentError',
      message: 'SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2',
    });
    assert.equal(taken(cpus, pod('b', { main: { cpu: '2', memory: '1Gi' } }), 'main'), '1,9');
  });

  test('strict-cpu-reservation keeps the reserved ones from everybody', () => {
    assert.equal(formatCpus(open({ strictReservation: true }).cpus.shared), '1-7,9-15');
  });

  test('without anything reserved, and after another policy, it does not begin', () => {
    assert.throws(() => open({ reserved: 0 }), /greater than zero/);
    assert.throws(() => open({ reserved: [99] }), /cannot reserve the CPUs 99/);
    const file = stateFile();
    writeFileSync(file, '{"policyName":"none","defaultCpuSet":"","entries":{}}');
    assert.throws(() => open({ stateFile: file }), /differs from state checkpoint policy "none"/);
    writeFileSync(file, '{"policyName":"static",');
    assert.throws(() => open({ stateFile: file }), /it is damaged/);
  });
});

describe('memory of certain nodes', () => {
  const open = (more: Partial<ConstructorParameters<typeof NodeMemory>[0]> = {}) => {
    const options = {
      machine: twoNodes,
      reserved: [{ numaNode: 0, limits: { memory: '1Gi' } }],
      reservedTotal: new Map([['memory', gibi]]),
      stateFile: stateFile(),
      ...more,
    };
    return { options, memory: new NodeMemory(options) };
  };
  const nodes = (memory: NodeMemory, of: Pod, wanted?: number) => {
    memory.take(of, containerOf(of, 'main'), wanted);
    return memory.of(of.metadata.uid ?? '', 'main').map(block => [block.type, block.nodes.join()]);
  };

  test('it comes from one node where that is possible, else from several that are used for that alone', () => {
    const { memory, options } = open();
    // 8 GiB each, 1 GiB of huge pages, and 1 GiB reserved on the first.
    assert.deepEqual(nodes(memory, pod('a', { main: { cpu: '1', memory: '5Gi', 'hugepages-2Mi': '512Mi' } })), [
      ['memory', '0'],
      ['hugepages-2Mi', '0'],
    ]);
    assert.deepEqual(nodes(memory, pod('b', { main: { cpu: '1', memory: '5Gi' } })), [['memory', '1']]);
    assert.throws(
      () => nodes(memory, pod('c', { main: { cpu: '1', memory: '8Gi' } })),
      /no NUMA nodes with enough memory is available/,
    );
    const again = new NodeMemory(options);
    again.release('a');
    again.release('b');
    assert.deepEqual(nodes(again, pod('c', { main: { cpu: '1', memory: '8Gi' } })), [['memory', '0,1']]);
    assert.deepEqual(nodes(again, pod('d', { main: { cpu: '1', memory: '1Gi' } })), [['memory', '0,1']]);
  });

  test('it says where it could come from', () => {
    const { memory } = open();
    const a = pod('a', { main: { cpu: '1', memory: '7Gi' } });
    assert.deepEqual(memory.hints(a, a.spec.containers).get('memory'), [
      { nodes: 2, preferred: true },
      { nodes: 3, preferred: false },
    ]);
    assert.equal(memory.hints(pod('b', { main: { memory: '1Gi' } }), []).size, 0);
  });

  test('what is reserved by node must be what is reserved at all', () => {
    assert.throws(
      () => open({ reserved: [] }),
      /the total amount "0" of type "memory" is not equal to the value "1073741824"/,
    );
    assert.throws(() => open({ reserved: [{ numaNode: 7, limits: { memory: '1Gi' } }] }), /NUMA node 7/);
  });
});
