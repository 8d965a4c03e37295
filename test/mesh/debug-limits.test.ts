import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { nodeDebugService } from '../../src/gen/hamlet/debug/v1/debug.js';
import { logs } from '../../src/ipc/services/logs.js';
import { poll } from '../../src/lib/time.js';
import { limits } from '../../src/workers/debug/limits.js';
import { call, connected, doors, tlsDoor, type Door, type Ended, type OpenCall } from './debug-doors.js';
import { certificate, newPki, startRemote, type Remote } from './debug-remote-fixture.js';

t.setTimeout(180_000);

const pki = await newPki();
const { getCondition, getComponentLogs, streamComponentLogs } = nodeDebugService;
const conditionRequest = getCondition.requestSerialize({ name: 'NodeReady' });
const logsRequest = getComponentLogs.requestSerialize({ componentPath: ['etcd'], tailLines: 0 });
const streamRequest = streamComponentLogs.requestSerialize({
  ...{ components: ['etcd'], follow: true, tailLines: 0, positions: [], ends: [], sinceMs: 0, untilMs: 0 },
  ...{ minSeverity: '', text: '', pattern: '', run: 0, previous: false, events: false },
});

const tcp = (where: { readonly port: number } | { readonly path: string }) =>
  connect({ host: '127.0.0.1', ...where });
const look = (session: ClientHttp2Session) => call(session, getCondition.path, conditionRequest).ended;

/** How many lines of the log say this; none may be of something that nobody has foreseen. */
function count(t: Test, { log }: Remote, pattern: RegExp): number {
  t.same(
    log().filter(({ level }) => level > 40),
    [],
    'nothing fell over',
  );
  return log().filter(({ msg }) => pattern.test(msg)).length;
}

/** At least one connection. */
type Sessions = [ClientHttp2Session, ...ClientHttp2Session[]];

async function sessions(t: Test, door: Door, many: number): Promise<Sessions> {
  const open: Sessions = [await connected(t, door)];
  // Not all at once: of those whose handshake is under way, the oldest would make room.
  while (open.length < many) {
    const next = Array.from({ length: Math.min(16, many - open.length) }, () => connected(t, door));
    open.push(...(await Promise.all(next)));
  }
  return open;
}

void t.test('calls are limited in number, for each caller by itself', async (t) => {
  const remote = await startRemote(t, pki);
  for (const door of doors(remote)) {
    const open = await sessions(t, door, Math.ceil(limits.burst / limits.maxConcurrentCalls));
    const beganMs = performance.now();
    const ends: Ended[] = [];
    // As many at a time as are allowed to be open.
    for (let round = 0; round < 3; round++) {
      const calls = Array.from({ length: limits.burst }, (_, i) => look(open[i % open.length] ?? open[0]));
      ends.push(...(await Promise.all(calls)));
    }
    const refilled = Math.ceil(((performance.now() - beganMs) / 1_000) * limits.callsPerSecond);
    const answered = ends.filter(({ code }) => code === 'OK').length;
    t.ok(answered >= limits.burst && answered <= limits.burst + refilled, `${door.name}: ${answered} calls`);
    const others = ends.filter(
      ({ code, text }) =>
        code !== 'OK' && !(code === 'RESOURCE_EXHAUSTED' && text.startsWith('too many calls: 20 a second')),
    );
    t.same(others, [], 'and all others are told so');
    t.equal(count(t, remote, new RegExp(`^${door.caller} makes too many calls`)), 1, 'with one line');
    await poll(async () => (await look(open[0])).code === 'OK' || undefined, {
      ...{ everyMs: 20, timeoutMs: 10_000, what: 'the next call that is allowed' },
    });
  }
});

void t.test('a request is limited in size, to the byte', async (t) => {
  const remote = await startRemote(t, pki);
  // A field that nobody knows is skipped: tag 100 of type bytes, and a length of three bytes.
  const sized = (bytes: number) => {
    const own = 2 + 3;
    const field = Buffer.from([0xa2, 0x06, 0, 0, 0]);
    const left = bytes - own - conditionRequest.length;
    field.set([(left & 0x7f) | 0x80, ((left >> 7) & 0x7f) | 0x80, left >> 14], 2);
    return Buffer.concat([conditionRequest, field, Buffer.alloc(left)]);
  };
  for (const door of doors(remote)) {
    const session = await connected(t, door);
    const ask = (bytes: number) => call(session, getCondition.path, sized(bytes)).ended;
    t.match(await ask(limits.maxRequestBytes), { code: 'OK' }, door.name);
    for (let round = 0; round < 3; round++) {
      t.match(await ask(limits.maxRequestBytes + 1), { code: 'RESOURCE_EXHAUSTED' }, door.name);
    }
    t.match(await look(session), { code: 'OK' }, 'on the same connection');
    t.equal(count(t, remote, new RegExp(`^a request of ${door.caller} .* is too large`)), 1, 'with one line');
  }
});

/** Opens as many connections as are allowed, and sees that there is no other one until one of them goes. */
async function fill(t: Test, remote: Remote, crowd: readonly Door[], most: number): Promise<void> {
  const open: ClientHttp2Session[] = [];
  for (const door of crowd) open.push(...(await sessions(t, door, most / crowd.length)));
  const alive = () => open.filter(({ closed, destroyed }) => !closed && !destroyed).length;
  const [door] = crowd as [Door];
  t.equal(alive(), most, `${door.name}: ${most} connections`);
  for (let round = 0; round < 3; round++) {
    t.equal((await connected(t, door)).destroyed, true, 'there is no room for another one');
  }
  t.equal(alive(), most, 'and none of those that are used goes for it');
  t.equal(count(t, remote, new RegExp(`^${door.caller} has too many connections open`)), 1, 'with one line');
  open[0]?.destroy();
  const next = await poll(
    async () => {
      const session = await connected(t, door);
      return session.destroyed ? undefined : session;
    },
    { everyMs: 20, timeoutMs: 10_000, what: 'the room of the one that has gone' },
  );
  t.match(await look(next), { code: 'OK' });
}

void t.test('connections are limited in number, for each caller and in all', async (t) => {
  const remote = await startRemote(t, pki);
  const [unix, loopback, tls] = doors(remote) as [Door, Door, Door];
  await fill(t, remote, [unix], limits.maxConnections);
  await fill(t, remote, [loopback], limits.maxConnectionsOfCaller);
  await fill(t, remote, [tls], limits.maxConnectionsOfCaller);
});

void t.test('so are those of many callers together', async (t) => {
  const remote = await startRemote(t, pki);
  const names = ['ann', 'bob', 'cy', 'dan', 'eve', 'fay', 'gus', 'hal'];
  const crowd = await Promise.all(
    names.map(async (name) => tlsDoor(remote.port, await certificate(pki, ['read'], { name }), name)),
  );
  await fill(t, remote, crowd, limits.maxConnections);
});

/** Has the logs service answer with what never ends; gives how many have begun there and not been given up. */
async function endless({ node }: Remote): Promise<() => number> {
  let open = 0;
  const untilGone = async (signal: AbortSignal): Promise<void> => {
    open += 1;
    if (!signal.aborted) await once(signal, 'abort');
    open -= 1;
  };
  await node.serve('logs', logs, {
    async *follow(_request, { signal }) {
      yield { records: [], positions: [{ component: 'etcd', next: 1 }] };
      await untilGone(signal);
    },
    async *tail(_request, { signal }) {
      yield { lines: [] };
      await untilGone(signal);
    },
  });
  return () => open;
}

/** Begins a call again until it is not one too many for this second: when it `hasBegun`, or ends in another way. */
async function begin(
  begun: () => OpenCall,
  hasBegun = ({ answered }: OpenCall): Promise<Ended | undefined> => answered,
): Promise<OpenCall> {
  return poll(
    async () => {
      const open = begun();
      const end = await hasBegun(open);
      return end?.text.startsWith('too many calls: ') === true ? undefined : open;
    },
    { everyMs: 20, timeoutMs: 20_000, what: 'a call that is allowed' },
  );
}

void t.test('open calls are limited in number, on a connection and of a caller', async (t) => {
  const remote = await startRemote(t, pki);
  const atService = await endless(remote);
  const until = (many: number) =>
    poll(() => (atService() === many ? true : undefined), {
      ...{ everyMs: 10, timeoutMs: 20_000, what: `${many} calls at the service` },
    }).then(() => undefined);
  for (const door of doors(remote)) {
    const { maxConcurrentCalls: ofConnection, maxCallsOfCaller: most } = limits;
    const calls: OpenCall[] = [];
    const stream = (session: ClientHttp2Session) => () =>
      call(session, streamComponentLogs.path, streamRequest);
    const [first, ...others] = await sessions(t, door, most / ofConnection);
    for (let index = 0; index < ofConnection; index++) calls.push(await begin(stream(first)));
    const waiting = stream(first)();
    let hasBegun = false;
    void waiting.answered.then(() => (hasBegun = true));
    await new Promise((resolve) => first.ping(resolve));
    t.equal(hasBegun, false, `${door.name}: one more than ${ofConnection} on a connection waits`);
    await until(ofConnection);
    calls.shift()?.stream.close();
    t.equal(await waiting.answered, undefined, 'and begins when another one ends');
    calls.push(waiting);

    for (const session of others)
      for (let index = 0; index < ofConnection; index++) calls.push(await begin(stream(session)));
    await until(most);
    const [session] = await sessions(t, door, 1);
    const tooMany = { code: 'RESOURCE_EXHAUSTED', text: `too many calls at a time: ${most} are allowed` };
    for (let round = 0; round < 3; round++) {
      t.same(await (await begin(stream(session))).ended, tooMany, 'one more of a caller is refused');
    }
    t.equal(count(t, remote, new RegExp(`^${door.caller} has too many calls .* open`)), 1, 'with one line');
    calls.pop()?.stream.close();
    await until(most - 1);
    calls.push(await begin(stream(session)));
    t.equal(await calls.at(-1)?.answered, undefined, 'and let in when another one has ended');
    for (const { stream } of calls) stream.close();
    await until(0);

    const whole = () => call(session, getComponentLogs.path, logsRequest);
    const large: OpenCall[] = [];
    for (let index = 0; index < limits.maxLogsOfCaller; index++) {
      // Nothing is said of a call before its answer.
      large.push(await begin(whole, ({ ended }) => Promise.race([ended, until(index + 1)])));
    }
    t.match(await (await begin(whole)).ended, { ...tooMany, text: /: 4 of getComponentLogs are allowed$/ });
    for (const { stream } of large) stream.close();
    await until(0);
  }
});

void t.test('calls and connections are limited in time', async (t) => {
  const remote = await startRemote(t, pki);
  await endless(remote);
  const within = async (what: string, limitMs: number, end: Promise<unknown>): Promise<void> => {
    const beganMs = performance.now();
    await end;
    const tookMs = performance.now() - beganMs;
    // What is late by more is not limited; a timer may be early by a millisecond.
    t.ok(tookMs > limitMs - 500 && tookMs < limitMs + 15_000, `${what}: ${Math.round(tookMs)} ms`);
  };
  const closed = async (socket: ReturnType<Door['open']>) => {
    socket.on('error', () => undefined).resume();
    if (!socket.closed) await once(socket, 'close');
  };
  const late = { code: 'DEADLINE_EXCEEDED' };
  const atDoor = async (door: Door): Promise<void> => {
    const session = await connected(t, door);
    const idle = await connected(t, door);
    const unsent = call(session, getCondition.path).ended;
    const unanswered = call(session, getComponentLogs.path, logsRequest).ended;
    await Promise.all([
      within(`${door.name}: a request that does not come`, limits.maxCallMs, unsent),
      within(`${door.name}: an answer that does not come`, limits.maxCallMs, unanswered),
      within(`${door.name}: a connection without a call`, limits.maxIdleMs, once(idle, 'close')),
    ]);
    t.match(await unsent, { ...late, text: /^no request within 30/ });
    t.match(await unanswered, late);
    t.equal(count(t, remote, new RegExp(`^${door.caller} begins a call .* sends no request`)), 1);
  };
  const [unix, loopback, tls] = doors(remote) as [Door, Door, Door];
  const silent = (name: string, where: Parameters<typeof tcp>[0]) =>
    within(`${name}: silence`, limits.maxSilenceMs, closed(tcp(where)));
  const half = tcp({ port: remote.port });
  half.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
  await Promise.all([
    ...[unix, loopback, tls].map(atDoor),
    silent(unix.name, { path: remote.node.socket }),
    silent(loopback.name, { port: remote.node.port }),
    silent(tls.name, { port: remote.port }),
    within(`${tls.name}: half a handshake`, limits.maxHandshakeMs, closed(half)),
  ]);
  t.equal(count(t, remote, /said nothing/), 3, 'each silence is one line');
});
