import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';

/** Where a process may begin, with the file that is then loaded. */
const entries = {
  library: './library.ts',
  program: './main.ts',
} as const;

const source = join(import.meta.dirname, '..');
const root = join(source, '..');
const directory = process.env.WINDLASS_CACHE ?? join(root, 'node_modules', '.cache', 'windlass');

/**
 * Loads an entry of the program: as one script with the code that V8 made of it when it last ran (ADR 5), or from its
 * thousand sources where that is not to be had. The script is made anew when a source has changed.
 */
export async function loadProgram<Exports>(
  entry: keyof typeof entries,
  fromSources: () => Promise<Exports>,
): Promise<Exports> {
  if (process.env.WINDLASS_FROM_SOURCES) return fromSources();
  let script: ReturnType<typeof compiledScript>;
  try {
    const file = await compiledFile();
    if (file === undefined) return fromSources();
    script = compiledScript(file, entry);
  } catch (error) {
    // A folder that cannot be written, no bundler for this platform, half a file: slower, but the same.
    if (process.env.WINDLASS_DEBUG) process.stderr.write(`windlass: cannot compile: ${String(error)}\n`);
    return fromSources();
  }
  return (script()[entry] as () => Promise<Exports>)();
}

/** The script for the sources as they are; undefined while another process is making it. */
async function compiledFile(): Promise<string | undefined> {
  const key = stateOfSources();
  const file = join(directory, `${key}.cjs`);
  if (existsSync(file)) return file;
  mkdirSync(directory, { recursive: true });
  const lock = join(directory, 'lock');
  if (!take(lock)) return undefined;
  try {
    const made = `${file}.${process.pid}`;
    await bundle(made);
    for (const old of readdirSync(directory))
      if (!old.startsWith(key) && old !== 'lock') rmSync(join(directory, old), { force: true });
    renameSync(made, file);
    return file;
  } finally {
    rmSync(lock, { force: true });
  }
}

/** A digest over names, sizes and times of change: every process asks, so nothing is read. */
function stateOfSources(): string {
  const hash = createHash('sha256').update(process.version);
  const add = (file: string) => {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file}\n${size} ${mtimeMs}\n`);
  };
  add(join(root, 'package.json'));
  add(join(root, 'package-lock.json'));
  const walk = (folder: string) => {
    for (const each of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, each.name);
      if (each.isDirectory()) walk(path);
      else if (each.name.endsWith('.ts') && !each.name.endsWith('.test.ts')) add(path);
    }
  };
  walk(source);
  return hash.digest('hex').slice(0, 16);
}

/** False: somebody has it. What somebody who was killed left is for the next who asks. */
function take(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (!isAlive(Number(readFileSync(lock, 'utf8')))) rmSync(lock, { force: true });
    return false;
  }
}

function isAlive(pid: number): boolean {
  // Just taken: the number is not written yet.
  if (pid === 0) return true;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function bundle(outfile: string): Promise<void> {
  const { build, stop } = await import('esbuild');
  const contents = Object.entries(entries)
    .map(([name, file]) => `export const ${name} = () => import(${JSON.stringify(file)});`)
    .join('\n');
  try {
    await build({
      stdin: { contents, resolveDir: import.meta.dirname, sourcefile: 'entries.ts' },
      outfile,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node26',
      minifyWhitespace: true,
      legalComments: 'none',
      banner: { js: '(function(exports,require,module){' },
      footer: { js: '})' },
      logLevel: 'silent',
      plugins: [
        {
          // What finds a file beside itself (the code of a thread) finds it among the sources.
          name: 'places of sources',
          setup({ onLoad }) {
            onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => {
              const text = readFileSync(path, 'utf8');
              if (!text.includes('import.meta')) return undefined;
              const contents = text
                .replaceAll('import.meta.dirname', JSON.stringify(join(path, '..')))
                .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(path).href));
              return { contents, loader: 'ts' };
            });
          },
        },
      ],
    });
  } finally {
    // Its process would stay as long as this one.
    await stop();
  }
}

type Loader = (exports: object, require: NodeJS.Require, module: { exports: object }) => void;

/** The script, ready to run, with the code of an earlier run where there is some. */
function compiledScript(file: string, entry: string): () => Record<string, unknown> {
  // Without characters beyond ASCII: half the memory.
  const text = readFileSync(file, 'latin1');
  // Code depends on V8's flags, and is of what this kind of process runs.
  const flags = createHash('sha256').update(process.execArgv.join(' ')).digest('hex').slice(0, 8);
  const [command = ''] = entry === 'program' ? process.argv.slice(2) : [];
  const kind = `${entry}-${command}`.replace(/[^\w-]/g, '_');
  const codeFile = file.replace(/\.cjs$/, `.${kind}.${flags}.code`);
  const cachedData = existsSync(codeFile) ? readFileSync(codeFile) : undefined;
  const script = parse(text, file, cachedData);
  return () => {
    const module = { exports: {} };
    (script.runInThisContext() as Loader)(module.exports, createRequire(join(root, 'package.json')), module);
    // Who failed has not run much.
    const isNews = !cachedData || script.cachedDataRejected;
    if (isNews) process.once('exit', code => code === 0 && keepCode(script, codeFile));
    return module.exports;
  };
}

function parse(text: string, filename: string, cachedData: Buffer | undefined): vm.Script {
  try {
    return new vm.Script(text, {
      filename,
      ...(cachedData && { cachedData }),
      importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
    });
  } catch (error) {
    // Somebody has cut it off; the next process makes it anew.
    rmSync(filename, { force: true });
    throw error;
  }
}

/** What has run until now need not be compiled the next time. */
function keepCode(script: vm.Script, codeFile: string): void {
  try {
    const made = `${codeFile}.${process.pid}`;
    writeFileSync(made, script.createCachedData());
    renameSync(made, codeFile);
  } catch {
    // The disk is full, or the sources have changed meanwhile: the next process compiles as this one did.
  }
}
