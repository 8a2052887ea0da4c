import { declInt, declList, declObject, declString, type DeclType } from '../src/cel/declarations.ts';
import { celEnvironment } from '../src/cel/environment.ts';
import type { Bench } from './benches.ts';
import { record, type Row } from './harness.ts';

const port = declObject(
  'Port',
  new Map([
    ['name', { property: 'name', type: declString(63) }],
    ['port', { property: 'port', type: declInt }],
  ]),
);
const self: DeclType = declObject(
  'Widget',
  new Map([
    ['replicas', { property: 'replicas', type: declInt }],
    ['replicasMax', { property: 'replicasMax', type: declInt }],
    ['weights', { property: 'weights', type: declList(declInt, 100) }],
    ['ports', { property: 'ports', type: declList(port, 100) }],
    ['image', { property: 'image', type: declString(200) }],
  ]),
);

const widget = {
  replicas: 3,
  replicasMax: 10,
  weights: [1, 2, 3, 4, 5],
  ports: Array.from({ length: 5 }, (_, index) => ({ name: `port-${index}`, port: 8000 + index })),
  image: 'registry.example.com/team/application:v1.2.3',
};

const rules: readonly (readonly [what: string, rule: string, goal: string])[] = [
  ['two fields', 'self.replicas <= self.replicasMax', ''],
  ['list of 5 numbers', 'self.weights.all(weight, weight > 0)', '≥ 1M/s'],
  ['list of 5 objects', 'self.ports.all(p, p.port >= 1024 && p.name.size() > 0)', '≥ 1M/s'],
  ['map and sum of 5', 'self.weights.map(weight, weight * 2).sum() == 30', ''],
  ['regular expression', "self.image.matches('^[a-z.]+/[a-z/]+:v[0-9.]+$')", ''],
];

export const cel: Bench = {
  name: 'cel',
  measures: 'rules of CEL evaluated on one core, with their costs counted',
  async run() {
    const environment = celEnvironment({ variables: { self } });
    const rows: Row[] = rules.map(([what, rule, against]) => ({
      what: `${what}: \`${rule}\``,
      figure: `${perSecond(environment, rule)} M/s`,
      against,
    }));
    const started = performance.now();
    let compiled = 0;
    for (; performance.now() - started < 1_000; compiled++)
      environment.compile((rules[2] as readonly string[])[1] as string);
    rows.push({ what: 'compilation of the third', figure: `${compiled.toLocaleString('en')} /s` });
    await record('cel', rows);
  },
};

function perSecond(environment: ReturnType<typeof celEnvironment>, rule: string): string {
  const compiled = environment.compile(rule);
  if (compiled.issues !== undefined) throw new Error(compiled.issues);
  const bindings = { self: widget };
  const batch = 10_000;
  const measure = (milliseconds: number): number => {
    const started = performance.now();
    let count = 0;
    while (performance.now() - started < milliseconds) {
      for (let index = 0; index < batch; index++) if (compiled.evaluate(bindings).value !== true) throw new Error(rule);
      count += batch;
    }
    return count / (performance.now() - started) / 1_000;
  };
  measure(300);
  return measure(1_500).toFixed(2);
}
