/** `npm run ok`: everything that must hold before a change lands. Types, format, lint, then layers and all other tests. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const bin = (name: string) => join(root, 'node_modules', '.bin', name);

const steps: readonly (readonly [string, readonly string[]])[] = [
  ['types', [bin('tsc'), '--noEmit', '-p', '.']],
  ['format', [bin('biome'), 'format', '.']],
  ['lint', [bin('oxlint'), '--quiet']],
  ['tests', [process.execPath, 'tools/test.ts']],
];

for (const [name, [command = '', ...args]] of steps) {
  process.stdout.write(`— ${name}\n`);
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    process.stdout.write(`${name}: failed\n`);
    process.exit(1);
  }
}
