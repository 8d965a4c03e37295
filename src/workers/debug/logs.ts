import type {
  LogPosition as Position,
  LogRecord as ProtoRecord,
  StreamComponentLogsRequest,
  StreamComponentLogsResponse,
} from '../../gen/hamlet/debug/v1/debug.js';
import type { CallOptions, Client } from '../../ipc/contract.js';
import { severities, type FollowRequest, type LogRecord, type logs } from '../../ipc/services/logs.js';
import { HamletError } from '../../lib/errors.js';

/** StreamComponentLogs in terms of the mesh. Throws INVALID_ARGUMENT, and what the logs service throws. */
export async function* streamLogs(
  client: Client<typeof logs>,
  request: StreamComponentLogsRequest,
  options: CallOptions,
): AsyncGenerator<StreamComponentLogsResponse, void> {
  for await (const { records, positions } of client.follow(followRequest(request), options)) {
    yield { records: records.map(toProto), positions };
  }
}

const missing = {
  atMs: 0,
  monotonicUs: 0,
  run: 0,
  source: '',
  data: new Uint8Array(),
  trueBytes: 0,
  severity: '',
  writtenAtMs: 0,
  place: '',
  subject: '',
};

function toProto(record: LogRecord): ProtoRecord {
  if (record.kind === 'gap') {
    const { component, from, to, lines } = record;
    return { ...missing, component, sequence: from, gap: { next: to, lines: lines ?? -1 } };
  }
  const { severity, writtenAtMs, ...rest } = record;
  return { ...rest, severity: severity ?? '', writtenAtMs: writtenAtMs ?? 0, gap: undefined };
}

/** A message's 0 and '' mean that nothing is asked. */
function followRequest(request: StreamComponentLogsRequest): FollowRequest {
  const { components, tailLines, minSeverity, run, previous } = request;
  if (components.length === 0 || components.includes('')) {
    throw new HamletError('INVALID_ARGUMENT', 'components is empty, or a name in it is: say which logs');
  }
  if (tailLines < -1) {
    throw new HamletError('INVALID_ARGUMENT', `tail_lines is ${tailLines}: 0 means all lines, -1 none`);
  }
  const severity = severities.find((candidate) => candidate === minSeverity) ?? null;
  if (minSeverity !== '' && severity === null) {
    throw new HamletError(
      'INVALID_ARGUMENT',
      `min_severity is "${minSeverity}"; there are ${severities.join(', ')}`,
    );
  }
  if (run !== 0 && previous) {
    throw new HamletError('INVALID_ARGUMENT', 'either run or previous, not both');
  }
  return {
    components: [...components],
    follow: request.follow,
    tail: tailLines === 0 ? null : Math.max(0, tailLines),
    positions: positions(request.positions),
    ends: positions(request.ends),
    sinceMs: request.sinceMs === 0 ? null : request.sinceMs,
    untilMs: request.untilMs === 0 ? null : request.untilMs,
    minSeverity: severity,
    text: request.text === '' ? null : request.text,
    pattern: request.pattern === '' ? null : request.pattern,
    run: previous ? 'previous' : run === 0 ? null : run,
    events: request.events,
  };
}

const positions = (given: readonly Position[]) => given.map(({ component, next }) => ({ component, next }));
