import { loadProgram } from './compiled.ts';
import { sentenceOf } from './messages.ts';

const words = process.argv.slice(2);
try {
  const { main, isRole } = await loadProgram('program', () => import('./main.ts'));
  process.exitCode = await main(words);
  // A role has let go of everything by now; a timer that somebody left must not keep its supervisor waiting.
  if (isRole(words)) process.exit();
} catch (error) {
  process.stderr.write(`windlass: ${sentenceOf(error)}\n`);
  if (process.env.WINDLASS_DEBUG && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
}
