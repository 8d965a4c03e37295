import t from 'tap';
import { parseArguments, usage } from '../../../src/host/arguments.js';

const plain = { command: 'run', config: undefined, yes: false } as const;

t.beforeEach(() => {
  delete process.env.HAMLET_CONFIG;
});

void t.test('a command line says what to do', async (t) => {
  t.same(parseArguments([]), plain);
  t.same(parseArguments(['run']), plain);
  t.same(parseArguments(['--config', 'node.yaml']), { ...plain, config: 'node.yaml' });
  t.same(parseArguments(['run', '--config=/etc/node.yaml']), { ...plain, config: '/etc/node.yaml' });
  t.same(parseArguments(['reset', '--yes']), { ...plain, command: 'reset', yes: true });
  t.same(parseArguments(['reset', '-y']), { ...plain, command: 'reset', yes: true });
  for (const words of [['--help'], ['-h'], ['reset', '--help'], ['run', '-h']]) {
    t.equal(parseArguments(words).command, 'help');
  }
  t.match(parseArguments(['pki', 'rotate-ca']), { command: 'pki', dbg: ['rotate-ca'] });
  t.match(parseArguments(['pki', 'list', '-o', 'json']), { command: 'pki', dbg: ['certs', '--output=json'] });
});

void t.test('the environment names the configuration, and the command line comes first', async (t) => {
  process.env.HAMLET_CONFIG = '/etc/one.yaml';
  t.equal(parseArguments([]).config, '/etc/one.yaml');
  t.equal(parseArguments(['--config', '/etc/two.yaml']).config, '/etc/two.yaml');
  process.env.HAMLET_CONFIG = '';
  t.equal(parseArguments([]).config, undefined);
});

void t.test('a wrong command line is named, with the way to the right one', async (t) => {
  const wrong: readonly (readonly [readonly string[], string])[] = [
    [['start'], 'there is no command "start"'],
    [['run', 'fast'], 'unexpected "fast"'],
    [['run', '--yes'], '--yes belongs to reset'],
    [['pki', 'list', '--yes'], '--yes belongs to reset'],
    [['--yes'], '--yes belongs to reset'],
    [['--verbose'], "Unknown option '--verbose'"],
    [['--config'], "Option '--config <value>' argument missing"],
    [['-o', 'json'], '--output belongs to pki list'],
    [['pki'], 'hamlet pki knows "list" and "rotate-ca"'],
    [['pki', 'list', 'all'], 'unexpected "all"'],
  ];
  for (const [words, problem] of wrong) {
    t.throws(
      () => parseArguments(words),
      { code: 'INVALID_ARGUMENT', message: `${problem}; "hamlet --help" lists what there is` },
      words.join(' '),
    );
  }
});

void t.test('the usage fits into a terminal and names every command', async (t) => {
  for (const line of usage.split('\n')) t.ok(line.length <= 110, line);
  for (const command of ['run', 'reset', 'pki list', 'pki rotate-ca', '--config', '--yes', '--help'])
    t.ok(usage.includes(command));
});
