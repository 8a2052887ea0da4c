#!/usr/bin/env node
// The only plain JavaScript of the project: it runs on whatever Node the machine has (20 or newer), installs the npm
// packages when they are missing, and hands over to the Node 26 that they bring.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

function fail(sentence) {
  process.stderr.write(`windlass: ${sentence}\n`);
  process.exit(1);
}

const [major] = process.versions.node.split('.').map(Number);
if (major < 20)
  fail(
    `Node.js ${process.versions.node} is too old to start from; install Node.js 20 or newer (https://nodejs.org) and try again.`,
  );

function installPackages() {
  const lock = readFileSync(join(root, 'package-lock.json'));
  const wanted = createHash('sha256').update(lock).digest('hex');
  const stampFile = join(root, 'node_modules', '.windlass-lock');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return;
  process.stderr.write('windlass: installing npm packages …\n');
  // Not `npm ci`: it refuses when a mirror lacks some other platform's build of a tool.
  const npm = spawnSync(
    'npm',
    ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  if (npm.error) fail('npm is not on the PATH; install it (it comes with Node.js) and try again.');
  if (npm.status !== 0)
    fail('`npm install` failed (its words are above); check the network and the npm registry, then try again.');
  writeFileSync(stampFile, wanted);
}

/** The Node 26 that npm brought; on other platforms the running one, if it is new enough. */
function nodeBinary() {
  const brought = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node');
  if (existsSync(brought)) return brought;
  if (major >= 26) return process.execPath;
  return fail(
    `there is no packaged Node.js 26 for ${process.platform}-${process.arch}; install Node.js 26 and try again.`,
  );
}

if (existsSync(join(root, 'package-lock.json'))) installPackages();

const args = process.argv.slice(2);
const script = args[0] === '--run' ? join(root, args[1]) : join(root, 'src', 'cluster', 'cli.ts');
const rest = args[0] === '--run' ? args.slice(2) : args;
const flags = ['--disable-warning=ExperimentalWarning', '--experimental-ffi'];

const child = spawn(nodeBinary(), [...flags, script, ...rest], {
  stdio: 'inherit',
  env: {
    ...process.env,
    NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, 'node_modules', '.cache', 'compile'),
  },
});
// The terminal sends Ctrl-C to the whole group; the child decides what it means.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
  });
child.on('exit', (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else process.exit(code ?? 1);
});
