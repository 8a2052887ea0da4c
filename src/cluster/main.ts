import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { commands, type Command, type Flags } from './commands.ts';

/** `windlass COMMAND [flags]`. Wrong words end with a sentence and 2, failures with a sentence and 1. */
export async function main(words: readonly string[]): Promise<number> {
  const [name = 'help', ...rest] = words;
  if (name === 'help' || name === '--help' || name === '-h') return help(rest[0]);
  if (name === '--version' || name === '-v') return run('version', []);
  return run(name, rest);
}

async function run(name: string, words: readonly string[]): Promise<number> {
  const command = commands.find(each => each.name === name);
  if (!command) return complain(`there is no command ${JSON.stringify(name)}; \`windlass help\` lists them`);
  if (words.includes('--help') || words.includes('-h')) return help(name);
  let flags: Flags;
  try {
    flags = flagsOf(command, words);
  } catch (error) {
    return complain(`${sentenceOf(error)}; \`windlass ${name} --help\` lists the flags`);
  }
  return command.run(flags);
}

/** Whether a process with these words lives as a part of a cluster, for its supervisor. */
export function isRole([name]: readonly string[]): boolean {
  return commands.some(each => each.name === name && each.hidden === true);
}

function flagsOf(command: Command, words: readonly string[]): Flags {
  const options: ParseArgsOptionsConfig = {};
  for (const flag of command.flags)
    options[flag.name] = {
      type: flag.type === 'boolean' ? 'boolean' : 'string',
      ...(flag.short && { short: flag.short }),
      ...(flag.repeated && { multiple: true }),
    };
  const { values, positionals } = parseArgs({ args: [...words], options, allowPositionals: true, allowNegative: true });
  const [argumentsMin, argumentsMax] = command.arguments ?? [0, 0];
  if (positionals.length < argumentsMin) throw new Error(`${command.usage}: an argument is missing`);
  if (positionals.length > argumentsMax)
    throw new Error(`unexpected argument ${JSON.stringify(positionals[argumentsMax])}`);
  for (const flag of command.flags) {
    const value = values[flag.name];
    if (value === undefined) continue;
    if (flag.type === 'number' && !/^\d{1,9}$/.test(String(value)))
      throw new Error(`--${flag.name} takes a whole number, not ${JSON.stringify(value)}`);
    if (flag.choices && !flag.choices.includes(String(value)))
      throw new Error(`--${flag.name} is one of ${flag.choices.join(', ')}, not ${JSON.stringify(value)}`);
  }
  return {
    words: positionals,
    text: flag => (values[flag] === undefined ? undefined : String(values[flag])),
    texts: flag => [values[flag] ?? []].flat().map(String),
    number: flag => (values[flag] === undefined ? undefined : Number(values[flag])),
    has: flag => values[flag] === true,
    given: flag => values[flag] !== undefined,
  };
}

function help(name: string | undefined): number {
  const shown = commands.filter(each => !each.hidden);
  const command = shown.find(each => each.name === name);
  if (name !== undefined && !command)
    return complain(`there is no command ${JSON.stringify(name)}; \`windlass help\` lists them`);
  if (!command) {
    const width = Math.max(...shown.map(each => each.name.length));
    const lines = shown.map(each => `  ${each.name.padEnd(width)}  ${each.does}`);
    process.stdout.write(
      `windlass: a complete Kubernetes in one program\n\n${lines.join('\n')}\n\n\`windlass COMMAND --help\` tells about a command and its flags.\n`,
    );
    return 0;
  }
  const left = command.flags.map(flag => {
    const value =
      flag.type === 'boolean'
        ? ''
        : ` ${flag.value ?? (flag.choices ? flag.choices.join('|') : flag.type === 'number' ? 'N' : 'VALUE')}`;
    return `  --${flag.name}${value}`;
  });
  const width = Math.max(0, ...left.map(each => each.length));
  const lines = command.flags.map((flag, index) => `${(left[index] ?? '').padEnd(width)}  ${flag.does}`);
  const flags = lines.length > 0 ? `\n\n${lines.join('\n')}` : '';
  process.stdout.write(`usage: windlass ${command.usage}\n\n${command.does}${flags}\n`);
  return 0;
}

function complain(sentence: string): number {
  process.stderr.write(`windlass: ${sentence}.\n`);
  return 2;
}

function sentenceOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // parseArgs explains at length how to pass a value that looks like a flag.
  return (text.split('. ')[0] ?? text).replace(/\.$/, '');
}
