import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import t from 'tap';
import type { Condition } from '../../../src/gen/hamlet/debug/v1/debug.js';
import { HamletError } from '../../../src/lib/errors.js';
import { logNames } from '../../../src/lib/names.js';
import { dbg, dbgFile, ended, environment, serveDebugApi, startDbg } from './fixture.js';

// The program is started some sixty times; a busy machine takes a while for that.
t.setTimeout(120_000);

/** What a run printed, as text, and its exit code. */
async function run(args: readonly string[], endpoint?: string): Promise<[string, string, number | null]> {
  const { stdout, stderr, code } = await dbg(args, endpoint === undefined ? {} : { endpoint });
  return [stdout.toString(), stderr, code];
}

void t.test('help is on stdout, with examples, for the program and every command', async (t) => {
  for (const args of [['--help'], ['help']]) {
    t.match(await run(args), [/^Ask a Hamlet node[^]*Commands:\n {2}logs [^]*Examples:\n/, '', 0]);
  }
  for (const command of [
    'logs',
    'condition',
    'boot',
    'history',
    'certs',
    'audit',
    'kubeconfig',
    'credential',
  ]) {
    const asked = await run([command, '--help']);
    t.match(asked, [/Usage: dbg [^]*Examples:\n {2}dbg /, '', 0]);
    t.same(await run(['help', command]), asked);
  }
  t.match(await run(['help', 'kubectl']), [/Usage: dbg .*kubectl[^]*Examples:\n {2}dbg kubectl /, '', 0]);
  t.match(await run(['--version']), [/^dbg \d+\.\d+\.\d+\n$/, '', 0]);
});

void t.test('wrong usage is said on stderr and ends with 2', async (t) => {
  const cases: [string[], string][] = [
    [[], 'say what to do\nSee: dbg help'],
    [
      ['frobnicate'],
      'there is no command "frobnicate"; there are logs, condition, boot, history, certs, rotate-ca, client-certificate, audit, kubectl, kubeconfig, credential and help\nSee: dbg help',
    ],
    [
      ['help', 'me'],
      'there is no command "me"; there are logs, condition, boot, history, certs, rotate-ca, client-certificate, audit, kubectl, kubeconfig, credential and help\nSee: dbg help',
    ],
    [['--frob', 'logs'], 'there is no option --frob\nSee: dbg help'],
    [['--endpoint'], '--endpoint needs a value: --endpoint HOST:PORT\nSee: dbg help'],
    [
      ['--endpoint', 'a:b', 'logs', 'etcd'],
      `"a:b" is no endpoint: it has to be HOST:PORT, such as 127.0.0.1:7837, or a socket's path\nSee: dbg help`,
    ],
    [['logs', '--frob', 'etcd'], 'there is no option --frob\nSee: dbg help logs'],
    [['logs', '--help=x'], '--help takes no value\nSee: dbg help logs'],
    [['logs', 'etcd', '--tail'], '--tail needs a value: --tail N\nSee: dbg help logs'],
    [['logs', 'a', ''], `say which component's log you want: ${logNames.join(', ')}\nSee: dbg help logs`],
    [
      ['logs', '--level', 'loud', 'etcd'],
      '"loud" is none of the values of --level: trace, debug, info, warn, error, fatal\nSee: dbg help logs',
    ],
    [
      ['logs', '--since', 'tea', 'etcd'],
      '--since takes a time as 2024-01-31T12:00:00Z or 5m, not "tea"\nSee: dbg help logs',
    ],
    [['logs', '--run', '0', 'etcd'], '--run takes a whole number from 1 on, not "0"\nSee: dbg help logs'],
    [
      ['logs', '--run', '1', '--previous', 'etcd'],
      'either --run or --previous, not both\nSee: dbg help logs',
    ],
    [['condition', 'a', 'b'], 'one condition at a time, or none for a table of all\nSee: dbg help condition'],
    [
      ['condition', '-o', 'yaml'],
      '"yaml" is none of the values of --output: text, json\nSee: dbg help condition',
    ],
    ...['0', '-5', '1e3', '2147483648'].map((tail): [string[], string] => [
      ['logs', '--tail', tail, 'etcd'],
      `"${tail}" is no number of lines: --tail takes a whole number from 1 on\nSee: dbg help logs`,
    ]),
  ];
  for (const [args, message] of cases) {
    t.same(await run(args), ['', `dbg: ${message}\n`, 2], `dbg ${args.join(' ')}`);
  }
  t.match(await run(['logs']), [
    '',
    /say which component's log you want: etcd, containerd, kube.apiserver, /,
    2,
  ]);
});

void t.test('without a node every command says so and what to do', async (t) => {
  const server = new Server();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const endpoint = `127.0.0.1:${port}`;
  t.match(
    await run(['condition'], endpoint),
    ['', `dbg: what runs at ${endpoint} does not know this call; is it a node of this version?\n`, 1],
    'a gRPC server that is no node',
  );
  server.forceShutdown();
  const message = `dbg: no node answers at ${endpoint}; start one with: npm start (with debug.enabled: false it answers nobody)\n`;
  for (const args of [
    ['logs', 'etcd'],
    ['condition'],
    ['condition', 'NodeReady'],
    ['kubectl', 'get', 'pods'],
  ]) {
    t.same(await run(args, endpoint), ['', message, 1], args.join(' '));
    t.same(
      await run(['--endpoint', endpoint, ...args]),
      ['', message, 1],
      'with --endpoint before the command',
    );
  }
  t.same(await run(['logs', '--endpoint', endpoint, 'etcd']), ['', message, 1], '--endpoint after it');
  t.same(await run(['condition'], 'nosuch.invalid'), [
    '',
    'dbg: no node answers at nosuch.invalid:7837: there is no address for this name\n',
    1,
  ]);
  t.same(
    await run(['condition'], '192.0.2.7'),
    [
      '',
      'dbg: no node answers at 192.0.2.7:7837; on another machine it takes --cert FILE and the port of debug.remote, see dbg help client-certificate\n',
      1,
    ],
    'another machine is not asked without a certificate',
  );
});

void t.test('logs', async (t) => {
  const lines = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`line ${index}`));
  const odd = [Buffer.from([0xff, 0x00, 0xfe]), Buffer.alloc(0), Buffer.from('\x1b[31mred')];
  const endpoint = await serveDebugApi(t, {
    async getComponentLogs({ componentPath: [name], tailLines }) {
      const all = {
        etcd: lines,
        containerd: odd,
        huge: Array.from({ length: 2_000 }, () => Buffer.alloc(16_384, 97)),
      };
      if (name === 'etcd' || name === 'containerd' || name === 'huge') {
        return { lines: all[name].slice(-tailLines) };
      }
      if (name === 'none') return { lines: [] };
      throw new HamletError('NOT_FOUND', `there is no log "${name}"; there are etcd, containerd`);
    },
  });
  const whole = lines.map((line) => `${line.toString()}\n`).join('');
  const tail = lines
    .slice(-5)
    .map((line) => `${line.toString()}\n`)
    .join('');
  t.same(await run(['logs', 'etcd'], endpoint), [whole, '', 0]);
  for (const args of [
    ['--tail', '5', 'etcd'],
    ['etcd', '--tail=5'],
    ['-n5', 'etcd'],
    ['-n', '5', '--', 'etcd'],
  ]) {
    t.same(await run(['logs', ...args], endpoint), [tail, '', 0], args.join(' '));
  }
  t.same(await run(['logs', 'none'], endpoint), ['', '', 0]);
  t.same(await run(['logs', 'nosuch'], endpoint), [
    '',
    'dbg: there is no log "nosuch"; there are etcd, containerd\n',
    1,
  ]);
  const { stdout } = await dbg(['logs', 'containerd'], { endpoint });
  t.same(stdout, Buffer.concat(odd.flatMap((line) => [line, Buffer.from('\n')])), 'bytes as they are');
  t.equal((await dbg(['logs', 'huge'], { endpoint })).stdout.length, 2_000 * 16_385, 'more than 4 MiB');

  const terminal = spawn('script', ['-qec', `${process.execPath} ${dbgFile} logs containerd`, '/dev/null'], {
    env: environment({ endpoint, env: { NO_COLOR: '1' } }),
  });
  const shown = await ended(terminal);
  t.equal(shown.stdout.toString(), '\ufffd\\x00\ufffd\r\n\r\n\\x1b[31mred\r\n', 'a terminal is not steered');

  const reader = startDbg(['logs', 'huge'], { endpoint });
  const end = ended(reader);
  await once(reader.stdout, 'data');
  reader.stdout.destroy();
  const { code, stderr } = await end;
  t.same([code, stderr], [0, ''], 'a reader that goes away early is no failure');

  const full = spawn(process.execPath, [dbgFile, 'logs', 'etcd'], {
    env: environment({ endpoint }),
    stdio: ['ignore', openSync('/dev/full', 'w'), 'pipe'],
  });
  const failed = await ended(full);
  t.match([failed.code, failed.stderr], [1, /^dbg: ENOSPC/], 'a full disk is one');
});

void t.test('logs by the stream: more than memory holds, and in colours', async (t) => {
  const records = ['error', 'info', 'warn'].map((severity, i) => ({
    ...{ component: 'etcd', sequence: i, atMs: 0, monotonicUs: 0, run: 1, source: 'stderr', trueBytes: 4 },
    ...{
      data: Buffer.from(`a \x1b ${severity}`),
      severity,
      writtenAtMs: 0,
      place: '',
      subject: '',
      gap: undefined,
    },
  }));
  const asked: number[] = [];
  const endpoint = await serveDebugApi(t, {
    getComponentLogs: async () => ({ lines: [Buffer.from('from memory')] }),
    async *streamComponentLogs({ tailLines }) {
      asked.push(tailLines);
      yield { records, positions: [] };
    },
  });
  t.same(await run(['logs', '--tail', '5000', 'etcd'], endpoint), ['from memory\n', '', 0]);
  const plain = 'a \x1b error\na \x1b info\na \x1b warn\n';
  t.same(await run(['logs', '--tail', '5001', 'etcd'], endpoint), [plain, '', 0]);
  const shown = async (env: NodeJS.ProcessEnv) => {
    const command = `${process.execPath} ${dbgFile} logs etcd`;
    const child = spawn('script', ['-qec', command, '/dev/null'], { env: environment({ endpoint, env }) });
    return (await ended(child)).stdout.toString();
  };
  t.equal(
    await shown({ TERM: 'xterm', NO_COLOR: '' }),
    '\x1b[31ma \\x1b error\x1b[0m\r\na \\x1b info\r\n\x1b[33ma \\x1b warn\x1b[0m\r\n',
  );
  t.equal(await shown({ TERM: 'dumb', NO_COLOR: '' }), 'from memory\r\n');
  t.same(asked, [5_001, 0]);
});

void t.test('condition', async (t) => {
  const sinceMs = Date.now() - 200_500;
  const conditions: Condition[] = [
    { name: 'PKIReady', status: 'true', reason: '', message: '', sinceMs },
    { name: 'kube.apiserver', status: 'false', reason: 'Starting', message: 'waits for etcd', sinceMs },
    { name: 'NodeReady', status: 'unknown', reason: 'NotAsked', message: '', sinceMs },
  ];
  const endpoint = await serveDebugApi(t, {
    async getCondition({ name }) {
      if (name === 'slow') throw new HamletError('DEADLINE_EXCEEDED', 'the host did not answer');
      const condition = conditions.find((candidate) => candidate.name === name);
      if (condition === undefined)
        throw new HamletError('NOT_FOUND', `there is no condition "${name}"; there are …`);
      return { ok: condition.status === 'true', condition };
    },
    async listConditions() {
      return { conditions };
    },
  });
  t.match(await run(['condition', 'PKIReady'], endpoint), [/^PKIReady is true, for 3m2\ds\n$/, '', 0]);
  t.match(await run(['condition', 'kube.apiserver'], endpoint), [
    /^kube.apiserver is false, for 3m2\ds: Starting: waits for etcd\n$/,
    '',
    1,
  ]);
  t.match(await run(['condition', 'NodeReady'], endpoint), [
    /^NodeReady is unknown, for 3m2\ds: NotAsked\n$/,
    '',
    1,
  ]);
  t.same(await run(['condition', 'nosuch'], endpoint), [
    '',
    'dbg: there is no condition "nosuch"; there are …\n',
    1,
  ]);
  t.same(await run(['condition', 'slow'], endpoint), ['', 'dbg: the host did not answer\n', 1]);

  const [tableText, , tableCode] = await run(['condition'], endpoint);
  t.equal(tableCode, 0);
  t.match(tableText.split('\n'), [
    /^NAME {12}STATUS {3}SINCE {2}REASON {4}MESSAGE$/,
    /^PKIReady {8}true {5}3m2\ds$/,
    /^kube.apiserver {2}false {4}3m2\ds {2}Starting {2}waits for etcd$/,
    /^NodeReady {7}unknown {2}3m2\ds {2}NotAsked$/,
    /^$/,
  ]);

  const asJson = conditions.map(({ name, status, reason, message }) => {
    return { name, ok: status === 'true', status, reason, message, since: new Date(sinceMs).toISOString() };
  });
  const [one, , oneCode] = await run(['condition', '-o', 'json', 'kube.apiserver'], endpoint);
  t.same([JSON.parse(one), oneCode], [asJson[1], 1]);
  const [all, , allCode] = await run(['condition', '--output=json'], endpoint);
  t.same([JSON.parse(all), allCode], [asJson, 0]);
});

void t.test('certs', async (t) => {
  const dayMs = 86_400_000;
  // Half an hour more, so that the hours do not depend on when the command looks at its clock.
  const nowMs = Date.now() + 1_800_000;
  const authority = {
    name: 'id-ca',
    subject: 'CN=node ID CA',
    issuer: 'id-ca',
    usage: 'authority',
    holder: 'hamlet.certs',
    serial: '0123456789abcdef0123',
    notBeforeMs: nowMs - 300_000,
    notAfterMs: nowMs + 3_650 * dayMs,
    renewalMs: 0,
    names: [],
  };
  const leaf = {
    ...authority,
    name: 'apiserver',
    usage: 'serving',
    holder: 'kube.apiserver',
    names: ['localhost'],
  };
  const certificates = [
    authority,
    { ...leaf, notAfterMs: nowMs + 90 * dayMs, renewalMs: nowMs + 60 * dayMs },
  ];
  let secretsKey = { name: 'key-0', madeMs: nowMs - 3 * dayMs, renewalMs: nowMs + 87 * dayMs };
  let rotation = { phase: 'none', message: 'no rotation is under way' };
  const endpoint = await serveDebugApi(t, {
    rotateAuthorities: async () => ({ rotation }),
    listCertificates: async () => ({ certificates, rotation, secretsKey }),
  });
  const [text, , code] = await run(['certs'], endpoint);
  t.equal(code, 0);
  t.match(text.split('\n'), [
    /^NAME {7}HOLDER {10}USAGE {6}ISSUER {2}SERIAL {8}ENDS IN {2}RENEWED IN {2}SUBJECT$/,
    /^id-ca {6}hamlet.certs {4}authority {2}id-ca {3}0123456789ab {2}3650d0h {2}- {11}CN=node ID CA$/,
    /^apiserver {2}kube.apiserver {2}serving {4}id-ca {3}0123456789ab {2}90d0h {4}60d0h {7}CN=/,
    /^$/,
    /^Secrets: encrypted by key-0, which was made 2d23h ago; the next one is made in 87d0h$/,
    /^$/,
  ]);
  const [json] = await run(['certs', '-o', 'json'], endpoint);
  t.match(JSON.parse(json), [
    { name: 'id-ca', renewal: null, notAfter: new Date(authority.notAfterMs).toISOString() },
    { name: 'apiserver', serial: '0123456789abcdef0123', names: ['localhost'], renewal: /T/ },
  ]);
  t.match(await run(['certs', 'apiserver'], endpoint), ['', /too much/, 2]);

  secretsKey = { ...secretsKey, renewalMs: 0 };
  t.match(await run(['certs'], endpoint), [/ago; some are still to be written by it\n$/, '', 0]);
  rotation = { phase: 'settling', message: 'the new authorities sign' };
  t.match(await run(['certs'], endpoint), [/\n\nRotation: the new authorities sign\n$/, '', 0]);
  t.match(await run(['rotate-ca'], endpoint), ['the new authorities sign\n', '', 0]);
  t.match(await run(['rotate-ca', 'id-ca'], endpoint), ['', /too much/, 2]);
});

void t.test('audit', async (t) => {
  const record = {
    atMs: 0,
    transport: 'unix',
    client: '',
    clientSerial: '',
    uid: '1001',
    pid: '',
    id: 'jane',
    groups: ['ops', 'dev'],
    serial: '0123456789abcdef',
    expiresAtMs: 3_600_000,
    refused: '',
  };
  let asked = -1;
  const endpoint = await serveDebugApi(t, {
    listIssuedCredentials: async ({ tail }) => {
      asked = tail;
      return { credentials: [record] };
    },
  });
  const [text, , code] = await run(['audit', '--tail', '7'], endpoint);
  t.same([asked, code], [7, 0]);
  t.match(
    text,
    /\n1970-01-01T00:00:00.000Z +unix +uid 1001 +- +jane +ops,dev +0123456789ab +1970-01-01T01:00:00.000Z\n$/,
  );
  const [json] = await run(['audit', '-o', 'json'], endpoint);
  t.match(JSON.parse(json), [{ id: 'jane', uid: '1001', ends: '1970-01-01T01:00:00.000Z' }]);
  Object.assign(record, { transport: 'tls', uid: '', client: 'ann', clientSerial: '47' });
  t.match((await run(['audit'], endpoint))[0], /\n1970-01-01T00:00:00.000Z +tls +ann +- +jane /);
  Object.assign(record, { serial: '', expiresAtMs: 0, refused: 'debug.allowMasters' });
  t.match((await run(['audit'], endpoint))[0], / jane +ops,dev +- +refused \(debug\.allowMasters\)\n$/);
  t.match(JSON.parse((await run(['audit', '-o', 'json'], endpoint))[0]), [{ serial: '', ends: '' }]);
  t.match(await run(['audit', '--tail', 'x'], endpoint), ['', /--tail takes a number/, 2]);
});

void t.test('dbg history is a table for people and JSON for programs', async (t) => {
  const atMs = Date.now() - 65_000;
  const restart = {
    id: 7,
    name: 'etcd',
    run: 2,
    pid: 41,
    atMs,
    kind: 'killed',
    code: -1,
    signal: 'SIGKILL',
    message: 'killed by SIGKILL',
    lastLines: ['its last\x1b[31m words'],
    causeId: 0,
    tookWith: ['kube.apiserver'],
    waitedFor: [],
    nextTryMs: atMs,
    executedMs: atMs + 20,
    healthyMs: atMs + 850,
  };
  const asked: unknown[] = [];
  const endpoint = await serveDebugApi(t, {
    listRestarts: async (request) => {
      asked.push(request);
      return {
        restarts: request.name === 'kube.proxy' ? [] : [{ ...restart, id: 6, healthyMs: 0 }, restart],
      };
    },
  });
  const [table] = await run(['history'], endpoint);
  t.match(table, /^ID +AGE +NAME +RUN +WHAT HAPPENED +BECAUSE OF +TOOK WITH IT +WAITED FOR +BACK\n/);
  t.match(table, /\n6 +1m.* not before #7\n/);
  t.match(table, /\n7 +1m\d+s +etcd +2 +killed by SIGKILL +- +kube.apiserver +- +after 850 ms\n$/);
  t.match((await run(['history', 'etcd', '--tail', '3'], endpoint))[0], /\n {4}its last\\x1b\[31m words\n$/);
  t.match(await run(['history', 'kube.proxy'], endpoint), ['Nothing has been started again.\n', '', 0]);
  const [json] = await run(['history', '-o', 'json'], endpoint);
  t.match(JSON.parse(json), [
    { id: 6, healthy: null },
    { id: 7, code: null, signal: 'SIGKILL', causeId: null, at: new Date(atMs).toISOString() },
  ]);
  t.same(asked[1], { name: 'etcd', tail: 3 });
  t.equal((await run(['history', '--tail', 'x'], endpoint))[2], 2);
});

void t.test('dbg boot draws the start, and says what it waits for', async (t) => {
  const step = (name: string, waitsFor: string[], seenUs: number, doneUs: number, executedUs = 0) => ({
    name,
    waitsFor,
    waits: waitsFor.map((other) => ({ name: other, waitedUs: 150_000, over: other !== 'kube.kubelet' })),
    seenUs,
    beganUs: executedUs === 0 ? 0 : executedUs - 1_000,
    executedUs,
    doneUs,
  });
  const steps = [
    step('hamlet', [], 0, 100_000),
    step('etcd', ['hamlet'], 100_000, 400_000, 200_000),
    step('NodeReady', ['etcd', 'kube.kubelet'], 100_000, 0),
  ];
  const boot = { steps, criticalPath: ['hamlet', 'etcd', 'NodeReady'], ready: false, nowUs: 1_000_000 };
  const answers = [boot, { ...boot, ready: true }, boot, boot];
  const endpoint = await serveDebugApi(t, { getBoot: async () => answers.shift() ?? boot });
  const [picture] = await run(['boot'], endpoint);
  t.match(picture, /^\* hamlet +\.+ +100\n\* etcd +\.+-*=+ +400\n\* NodeReady +\.+ +1000…\n/);
  t.match(picture, /critical path: hamlet \+100 → etcd \+300\n/);
  t.match(picture, /the node waits for NodeReady \(for kube\.kubelet\)\n$/);
  t.match((await run(['boot'], endpoint))[0], /the node was ready after 400 ms\n$/);
  const [table] = await run(['boot', '-o', 'table'], endpoint);
  t.match(table, /^ +STEP +SEEN +BEGUN +EXECUTED +DONE +WAITED FOR \(MS\)\n\* hamlet +0 +- +- +100 +-\n/);
  t.match(table, /\n\* etcd .* hamlet 150\n\* NodeReady .* - +etcd 150, kube\.kubelet 150…\n/);
  const [json] = await run(['boot', '-o', 'json'], endpoint);
  t.match(JSON.parse(json), {
    nowMs: 1_000,
    steps: [
      { doneMs: 100, waits: [] },
      { executedMs: 200, waitsFor: ['hamlet'], waits: [{ name: 'hamlet', ms: 150, over: true }] },
      { doneMs: null },
    ],
  });
});
