// Generated from proto/hamlet/debug/v1/debug.proto by `npm run gen`. Do not edit.

import { ProtoReader, ProtoWriter } from '../../../../lib/protobuf.js';

export interface GetDebugKubeconfigRequest {
  /** The user that Kubernetes sees: the certificate's common name. 1 to 253 characters. */
  readonly id: string;
  /** The groups that Kubernetes sees: the certificate's organizations. At most 64; `system:masters` may do everything. */
  readonly groups: readonly string[];
  /** How long the certificate is good for, in seconds; 0 for what the node gives without being asked, an hour. */
  readonly ttlSeconds: number;
}

export function encodeGetDebugKubeconfigRequest(message: GetDebugKubeconfigRequest): Buffer {
  const writer = new ProtoWriter();
  if (message.id !== '') writer.string(1, message.id);
  for (const item of message.groups) writer.string(2, item);
  if (message.ttlSeconds !== 0) writer.int64(3, message.ttlSeconds);
  return writer.finish();
}

export function decodeGetDebugKubeconfigRequest(bytes: Uint8Array): GetDebugKubeconfigRequest {
  const message: { id: string; groups: string[]; ttlSeconds: number } = {
    id: '',
    groups: [],
    ttlSeconds: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.id = reader.string();
        break;
      case 18: // field 2
        message.groups.push(reader.string());
        break;
      case 24: // field 3
        message.ttlSeconds = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface GetDebugKubeconfigResponse {
  /** A kubeconfig, YAML, with the cluster's CA, the certificate and its key inside. It is a secret. */
  readonly kubeconfig: string;
  /** When the certificate ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /**
   * How to start the kubectl that belongs to the node: a program and the arguments that come before the user's own.
   * A path on the node's machine; empty when the node has none.
   */
  readonly kubectlCommand: readonly string[];
}

export function encodeGetDebugKubeconfigResponse(message: GetDebugKubeconfigResponse): Buffer {
  const writer = new ProtoWriter();
  if (message.kubeconfig !== '') writer.string(1, message.kubeconfig);
  if (message.expiresAtMs !== 0) writer.int64(2, message.expiresAtMs);
  for (const item of message.kubectlCommand) writer.string(3, item);
  return writer.finish();
}

export function decodeGetDebugKubeconfigResponse(bytes: Uint8Array): GetDebugKubeconfigResponse {
  const message: { kubeconfig: string; expiresAtMs: number; kubectlCommand: string[] } = {
    kubeconfig: '',
    expiresAtMs: 0,
    kubectlCommand: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.kubeconfig = reader.string();
        break;
      case 16: // field 2
        message.expiresAtMs = reader.int64();
        break;
      case 26: // field 3
        message.kubectlCommand.push(reader.string());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface IssueDebugClientRequest {
  /** Who it is for, as the record and the log have it: 1 to 64 letters, digits and characters of _.:@- */
  readonly name: string;
  /** `read` or `admin`. */
  readonly role: string;
  /** How long the certificate is good for, in seconds; 0 for what the node gives without being asked, an hour. */
  readonly ttlSeconds: number;
}

export function encodeIssueDebugClientRequest(message: IssueDebugClientRequest): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.role !== '') writer.string(2, message.role);
  if (message.ttlSeconds !== 0) writer.int64(3, message.ttlSeconds);
  return writer.finish();
}

export function decodeIssueDebugClientRequest(bytes: Uint8Array): IssueDebugClientRequest {
  const message: { name: string; role: string; ttlSeconds: number } = {
    name: '',
    role: '',
    ttlSeconds: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 18: // field 2
        message.role = reader.string();
        break;
      case 24: // field 3
        message.ttlSeconds = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface IssueDebugClientResponse {
  /** PEM: the certificate, its key, and the authorities that the node's own certificate is of. It is a secret. */
  readonly pem: string;
  /** When the certificate ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
}

export function encodeIssueDebugClientResponse(message: IssueDebugClientResponse): Buffer {
  const writer = new ProtoWriter();
  if (message.pem !== '') writer.string(1, message.pem);
  if (message.expiresAtMs !== 0) writer.int64(2, message.expiresAtMs);
  return writer.finish();
}

export function decodeIssueDebugClientResponse(bytes: Uint8Array): IssueDebugClientResponse {
  const message: { pem: string; expiresAtMs: number } = {
    pem: '',
    expiresAtMs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.pem = reader.string();
        break;
      case 16: // field 2
        message.expiresAtMs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface GetComponentLogsRequest {
  /** The component's dotted name, whole or in pieces: ["kube", "apiserver"] and ["kube.apiserver"] mean the same. */
  readonly componentPath: readonly string[];
  /** How many lines from the end of the log; 0 means all that the ring holds. */
  readonly tailLines: number;
}

export function encodeGetComponentLogsRequest(message: GetComponentLogsRequest): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.componentPath) writer.string(1, item);
  if (message.tailLines !== 0) writer.int64(2, message.tailLines);
  return writer.finish();
}

export function decodeGetComponentLogsRequest(bytes: Uint8Array): GetComponentLogsRequest {
  const message: { componentPath: string[]; tailLines: number } = {
    componentPath: [],
    tailLines: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.componentPath.push(reader.string());
        break;
      case 16: // field 2
        message.tailLines = reader.int32();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface GetComponentLogsResponse {
  /**
   * The lines, oldest first, as the component wrote them and without their newline. They are bytes and not strings,
   * because a component may write what is not valid UTF-8. A line longer than 16,384 bytes is cut and ends in "...".
   */
  readonly lines: readonly Uint8Array[];
}

export function encodeGetComponentLogsResponse(message: GetComponentLogsResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.lines) writer.bytes(1, item);
  return writer.finish();
}

export function decodeGetComponentLogsResponse(bytes: Uint8Array): GetComponentLogsResponse {
  const message: { lines: Uint8Array[] } = {
    lines: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.lines.push(reader.bytes());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface StreamComponentLogsRequest {
  /**
   * Dotted names of logs. A name that only others begin with ("kube") stands for all below it, and so does one that
   * ends in ".*" ("hamlet.*"). Below means behind a dot: "kube" has nothing to do with "kubelet".
   */
  readonly components: readonly string[];
  /** Whether to go on with what is written from now on. */
  readonly follow: boolean;
  /**
   * Begin with the last so many of the lines wanted, in memory or on disk; -1 means none. 0 means all in memory, and
   * together with since_ms, run or previous all on disk too.
   */
  readonly tailLines: number;
  /** Begin here in these logs, whatever tail_lines says. */
  readonly positions: readonly LogPosition[];
  /** End before these lines. */
  readonly ends: readonly LogPosition[];
  /** Only what arrived from this time on, in milliseconds since the Unix epoch; 0 for no such limit. */
  readonly sinceMs: number;
  /** Only what arrived up to and with this time; the stream ends with it. */
  readonly untilMs: number;
  /**
   * `trace`, `debug`, `info`, `warn`, `error` or `fatal`: only what is at least so severe. Lines that do not say count
   * as `info`. Empty for all.
   */
  readonly minSeverity: string;
  /** Only lines that contain this. */
  readonly text: string;
  /** Only lines that this regular expression matches, JavaScript's without lookaround and backreferences. */
  readonly pattern: string;
  /** Only lines of this run of a component, from 1; 0 for all. */
  readonly run: number;
  /** Only lines of the run before the latest one. */
  readonly previous: boolean;
  /** Also the records of other logs that tell about the components: changes of their state, and what Hamlet did to them. */
  readonly events: boolean;
}

export function encodeStreamComponentLogsRequest(message: StreamComponentLogsRequest): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.components) writer.string(1, item);
  if (message.follow) writer.bool(2, message.follow);
  if (message.tailLines !== 0) writer.int64(3, message.tailLines);
  for (const item of message.positions) writer.bytes(4, encodeLogPosition(item));
  for (const item of message.ends) writer.bytes(5, encodeLogPosition(item));
  if (message.sinceMs !== 0) writer.int64(6, message.sinceMs);
  if (message.untilMs !== 0) writer.int64(7, message.untilMs);
  if (message.minSeverity !== '') writer.string(8, message.minSeverity);
  if (message.text !== '') writer.string(9, message.text);
  if (message.pattern !== '') writer.string(10, message.pattern);
  if (message.run !== 0) writer.int64(11, message.run);
  if (message.previous) writer.bool(12, message.previous);
  if (message.events) writer.bool(13, message.events);
  return writer.finish();
}

export function decodeStreamComponentLogsRequest(bytes: Uint8Array): StreamComponentLogsRequest {
  const message: { components: string[]; follow: boolean; tailLines: number; positions: LogPosition[]; ends: LogPosition[]; sinceMs: number; untilMs: number; minSeverity: string; text: string; pattern: string; run: number; previous: boolean; events: boolean } = {
    components: [],
    follow: false,
    tailLines: 0,
    positions: [],
    ends: [],
    sinceMs: 0,
    untilMs: 0,
    minSeverity: '',
    text: '',
    pattern: '',
    run: 0,
    previous: false,
    events: false,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.components.push(reader.string());
        break;
      case 16: // field 2
        message.follow = reader.bool();
        break;
      case 24: // field 3
        message.tailLines = reader.int32();
        break;
      case 34: // field 4
        message.positions.push(decodeLogPosition(reader.bytes()));
        break;
      case 42: // field 5
        message.ends.push(decodeLogPosition(reader.bytes()));
        break;
      case 48: // field 6
        message.sinceMs = reader.int64();
        break;
      case 56: // field 7
        message.untilMs = reader.int64();
        break;
      case 66: // field 8
        message.minSeverity = reader.string();
        break;
      case 74: // field 9
        message.text = reader.string();
        break;
      case 82: // field 10
        message.pattern = reader.string();
        break;
      case 88: // field 11
        message.run = reader.uint32();
        break;
      case 96: // field 12
        message.previous = reader.bool();
        break;
      case 104: // field 13
        message.events = reader.bool();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** LogPosition is a place in one log. */
export interface LogPosition {
  /** The log's dotted name. */
  readonly component: string;
  /** The sequence number of the line that is wanted next. */
  readonly next: number;
}

export function encodeLogPosition(message: LogPosition): Buffer {
  const writer = new ProtoWriter();
  if (message.component !== '') writer.string(1, message.component);
  if (message.next !== 0) writer.int64(2, message.next);
  return writer.finish();
}

export function decodeLogPosition(bytes: Uint8Array): LogPosition {
  const message: { component: string; next: number } = {
    component: '',
    next: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.component = reader.string();
        break;
      case 16: // field 2
        message.next = reader.uint64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface StreamComponentLogsResponse {
  /** Lines and gaps, in the order of arrival. */
  readonly records: readonly LogRecord[];
  /** Positions that the records do not tell. */
  readonly positions: readonly LogPosition[];
}

export function encodeStreamComponentLogsResponse(message: StreamComponentLogsResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.records) writer.bytes(1, encodeLogRecord(item));
  for (const item of message.positions) writer.bytes(2, encodeLogPosition(item));
  return writer.finish();
}

export function decodeStreamComponentLogsResponse(bytes: Uint8Array): StreamComponentLogsResponse {
  const message: { records: LogRecord[]; positions: LogPosition[] } = {
    records: [],
    positions: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.records.push(decodeLogRecord(reader.bytes()));
        break;
      case 18: // field 2
        message.positions.push(decodeLogPosition(reader.bytes()));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** LogRecord is one line, or a gap. */
export interface LogRecord {
  /** The log's dotted name. */
  readonly component: string;
  /** Counts up by one for each line of the log, and never repeats on a node. For a gap: the first line that is missing. */
  readonly sequence: number;
  /** When it arrived, in milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** The start that wrote it, of the component or of Hamlet's thread, from 1. */
  readonly run: number;
  /** `stdout` or `stderr`. */
  readonly source: string;
  /** The line as it was written, without its newline. One longer than 16,384 bytes is cut and ends in "...". */
  readonly data: Uint8Array;
  /** How long it was before it was cut. */
  readonly trueBytes: number;
  /** `trace` to `fatal`; empty where the line does not say. */
  readonly severity: string;
  /** When it was written, by its own account; 0 where it does not say. */
  readonly writtenAtMs: number;
  /** The place in the source that wrote it, such as `reflector.go:178`; empty where the line does not say. */
  readonly place: string;
  /** The component or object whose change of state, or treatment by Hamlet, it tells; empty for other lines. */
  readonly subject: string;
  /** Set when this is not a line but what is missing. */
  readonly gap: LogGap | undefined;
  /**
   * The moment of at_ms on the machine's monotonic clock (CLOCK_MONOTONIC), in microseconds. Nobody sets that clock, so
   * that differences are right; it begins anew with the machine.
   */
  readonly monotonicUs: number;
}

export function encodeLogRecord(message: LogRecord): Buffer {
  const writer = new ProtoWriter();
  if (message.component !== '') writer.string(1, message.component);
  if (message.sequence !== 0) writer.int64(2, message.sequence);
  if (message.atMs !== 0) writer.int64(3, message.atMs);
  if (message.run !== 0) writer.int64(4, message.run);
  if (message.source !== '') writer.string(5, message.source);
  if (message.data.length > 0) writer.bytes(6, message.data);
  if (message.trueBytes !== 0) writer.int64(7, message.trueBytes);
  if (message.severity !== '') writer.string(8, message.severity);
  if (message.writtenAtMs !== 0) writer.int64(9, message.writtenAtMs);
  if (message.place !== '') writer.string(10, message.place);
  if (message.subject !== '') writer.string(11, message.subject);
  if (message.gap !== undefined) writer.bytes(12, encodeLogGap(message.gap));
  if (message.monotonicUs !== 0) writer.int64(13, message.monotonicUs);
  return writer.finish();
}

export function decodeLogRecord(bytes: Uint8Array): LogRecord {
  const message: { component: string; sequence: number; atMs: number; run: number; source: string; data: Uint8Array; trueBytes: number; severity: string; writtenAtMs: number; place: string; subject: string; gap: LogGap | undefined; monotonicUs: number } = {
    component: '',
    sequence: 0,
    atMs: 0,
    run: 0,
    source: '',
    data: new Uint8Array(),
    trueBytes: 0,
    severity: '',
    writtenAtMs: 0,
    place: '',
    subject: '',
    gap: undefined,
    monotonicUs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.component = reader.string();
        break;
      case 16: // field 2
        message.sequence = reader.uint64();
        break;
      case 24: // field 3
        message.atMs = reader.int64();
        break;
      case 32: // field 4
        message.run = reader.uint32();
        break;
      case 42: // field 5
        message.source = reader.string();
        break;
      case 50: // field 6
        message.data = reader.bytes();
        break;
      case 56: // field 7
        message.trueBytes = reader.uint32();
        break;
      case 66: // field 8
        message.severity = reader.string();
        break;
      case 72: // field 9
        message.writtenAtMs = reader.int64();
        break;
      case 82: // field 10
        message.place = reader.string();
        break;
      case 90: // field 11
        message.subject = reader.string();
        break;
      case 98: // field 12
        message.gap = decodeLogGap(reader.bytes());
        break;
      case 104: // field 13
        message.monotonicUs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** LogGap is lines that were overwritten before they could be read. */
export interface LogGap {
  /** The first line that is not missing any more. */
  readonly next: number;
  /** How many are missing; -1 when Hamlet was killed in between, for then nobody knows. */
  readonly lines: number;
}

export function encodeLogGap(message: LogGap): Buffer {
  const writer = new ProtoWriter();
  if (message.next !== 0) writer.int64(1, message.next);
  if (message.lines !== 0) writer.int64(2, message.lines);
  return writer.finish();
}

export function decodeLogGap(bytes: Uint8Array): LogGap {
  const message: { next: number; lines: number } = {
    next: 0,
    lines: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 8: // field 1
        message.next = reader.uint64();
        break;
      case 16: // field 2
        message.lines = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface GetConditionRequest {
  /** The condition's name: `NodeReady` and its like, or the dotted name of a component. */
  readonly name: string;
}

export function encodeGetConditionRequest(message: GetConditionRequest): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  return writer.finish();
}

export function decodeGetConditionRequest(bytes: Uint8Array): GetConditionRequest {
  const message: { name: string } = {
    name: '',
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface GetConditionResponse {
  /** Whether the condition's status is `true`. */
  readonly ok: boolean;
  /** All that is known about it. */
  readonly condition: Condition | undefined;
}

export function encodeGetConditionResponse(message: GetConditionResponse): Buffer {
  const writer = new ProtoWriter();
  if (message.ok) writer.bool(1, message.ok);
  if (message.condition !== undefined) writer.bytes(2, encodeCondition(message.condition));
  return writer.finish();
}

export function decodeGetConditionResponse(bytes: Uint8Array): GetConditionResponse {
  const message: { ok: boolean; condition: Condition | undefined } = {
    ok: false,
    condition: undefined,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 8: // field 1
        message.ok = reader.bool();
        break;
      case 18: // field 2
        message.condition = decodeCondition(reader.bytes());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export type ListConditionsRequest = Readonly<Record<string, never>>;

export function encodeListConditionsRequest(_message: ListConditionsRequest): Buffer {
  return new ProtoWriter().finish();
}

export function decodeListConditionsRequest(bytes: Uint8Array): ListConditionsRequest {
  const reader = new ProtoReader(bytes);
  while (reader.next()) reader.skip();
  return {};
}

export interface ListConditionsResponse {
  /** Every condition. */
  readonly conditions: readonly Condition[];
}

export function encodeListConditionsResponse(message: ListConditionsResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.conditions) writer.bytes(1, encodeCondition(item));
  return writer.finish();
}

export function decodeListConditionsResponse(bytes: Uint8Array): ListConditionsResponse {
  const message: { conditions: Condition[] } = {
    conditions: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.conditions.push(decodeCondition(reader.bytes()));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface ListIssuedCredentialsRequest {
  /** How many records from the end; 0 means 1,000. At most 10,000, and the node keeps some 8,000. */
  readonly tail: number;
}

export function encodeListIssuedCredentialsRequest(message: ListIssuedCredentialsRequest): Buffer {
  const writer = new ProtoWriter();
  if (message.tail !== 0) writer.int64(1, message.tail);
  return writer.finish();
}

export function decodeListIssuedCredentialsRequest(bytes: Uint8Array): ListIssuedCredentialsRequest {
  const message: { tail: number } = {
    tail: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 8: // field 1
        message.tail = reader.int32();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface ListIssuedCredentialsResponse {
  /** The records, oldest first. */
  readonly credentials: readonly IssuedCredential[];
}

export function encodeListIssuedCredentialsResponse(message: ListIssuedCredentialsResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.credentials) writer.bytes(1, encodeIssuedCredential(item));
  return writer.finish();
}

export function decodeListIssuedCredentialsResponse(bytes: Uint8Array): ListIssuedCredentialsResponse {
  const message: { credentials: IssuedCredential[] } = {
    credentials: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.credentials.push(decodeIssuedCredential(reader.bytes()));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** IssuedCredential is one credential that was handed out, or that the configuration forbade. */
export interface IssuedCredential {
  /** When, in milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** How the caller was connected: `unix`, `tcp` or `tls`. */
  readonly transport: string;
  /** The caller's user ID in decimal; empty when the node could not tell. */
  readonly uid: string;
  /** The caller's process ID in decimal; empty when it was gone before the node looked. */
  readonly pid: string;
  /** The user that the certificate is for. */
  readonly id: string;
  /** The groups that it is for. */
  readonly groups: readonly string[];
  /** The certificate's serial number in hex. */
  readonly serial: string;
  /** When it ends, in milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /** Over TLS: whose certificate the caller had. */
  readonly client: string;
  /** The serial number of that certificate in hex. */
  readonly clientSerial: string;
  /** The setting that forbade it, such as `debug.allowMasters`; then there is no serial number, and its end is 0. */
  readonly refused: string;
}

export function encodeIssuedCredential(message: IssuedCredential): Buffer {
  const writer = new ProtoWriter();
  if (message.atMs !== 0) writer.int64(1, message.atMs);
  if (message.transport !== '') writer.string(2, message.transport);
  if (message.uid !== '') writer.string(3, message.uid);
  if (message.pid !== '') writer.string(4, message.pid);
  if (message.id !== '') writer.string(5, message.id);
  for (const item of message.groups) writer.string(6, item);
  if (message.serial !== '') writer.string(7, message.serial);
  if (message.expiresAtMs !== 0) writer.int64(8, message.expiresAtMs);
  if (message.client !== '') writer.string(9, message.client);
  if (message.clientSerial !== '') writer.string(10, message.clientSerial);
  if (message.refused !== '') writer.string(11, message.refused);
  return writer.finish();
}

export function decodeIssuedCredential(bytes: Uint8Array): IssuedCredential {
  const message: { atMs: number; transport: string; uid: string; pid: string; id: string; groups: string[]; serial: string; expiresAtMs: number; client: string; clientSerial: string; refused: string } = {
    atMs: 0,
    transport: '',
    uid: '',
    pid: '',
    id: '',
    groups: [],
    serial: '',
    expiresAtMs: 0,
    client: '',
    clientSerial: '',
    refused: '',
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 8: // field 1
        message.atMs = reader.int64();
        break;
      case 18: // field 2
        message.transport = reader.string();
        break;
      case 26: // field 3
        message.uid = reader.string();
        break;
      case 34: // field 4
        message.pid = reader.string();
        break;
      case 42: // field 5
        message.id = reader.string();
        break;
      case 50: // field 6
        message.groups.push(reader.string());
        break;
      case 58: // field 7
        message.serial = reader.string();
        break;
      case 64: // field 8
        message.expiresAtMs = reader.int64();
        break;
      case 74: // field 9
        message.client = reader.string();
        break;
      case 82: // field 10
        message.clientSerial = reader.string();
        break;
      case 90: // field 11
        message.refused = reader.string();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export type ListCertificatesRequest = Readonly<Record<string, never>>;

export function encodeListCertificatesRequest(_message: ListCertificatesRequest): Buffer {
  return new ProtoWriter().finish();
}

export function decodeListCertificatesRequest(bytes: Uint8Array): ListCertificatesRequest {
  const reader = new ProtoReader(bytes);
  while (reader.next()) reader.skip();
  return {};
}

export interface ListCertificatesResponse {
  /** The authorities, then the leaves. */
  readonly certificates: readonly Certificate[];
  /** How far a rotation of the authorities is. */
  readonly rotation: Rotation | undefined;
  /** The key by which Secrets are encrypted in etcd. */
  readonly secretsKey: SecretsKey | undefined;
}

export function encodeListCertificatesResponse(message: ListCertificatesResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.certificates) writer.bytes(1, encodeCertificate(item));
  if (message.rotation !== undefined) writer.bytes(2, encodeRotation(message.rotation));
  if (message.secretsKey !== undefined) writer.bytes(3, encodeSecretsKey(message.secretsKey));
  return writer.finish();
}

export function decodeListCertificatesResponse(bytes: Uint8Array): ListCertificatesResponse {
  const message: { certificates: Certificate[]; rotation: Rotation | undefined; secretsKey: SecretsKey | undefined } = {
    certificates: [],
    rotation: undefined,
    secretsKey: undefined,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.certificates.push(decodeCertificate(reader.bytes()));
        break;
      case 18: // field 2
        message.rotation = decodeRotation(reader.bytes());
        break;
      case 26: // field 3
        message.secretsKey = decodeSecretsKey(reader.bytes());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** SecretsKey is a key by which the API server encrypts Secrets. It is told to nobody. */
export interface SecretsKey {
  /** Its name, which each value in etcd has that it encrypted. */
  readonly name: string;
  /** When it was made, in milliseconds since the Unix epoch. */
  readonly madeMs: number;
  /** When the next one is made; 0 while Secrets have yet to be written by this one. */
  readonly renewalMs: number;
}

export function encodeSecretsKey(message: SecretsKey): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.madeMs !== 0) writer.int64(2, message.madeMs);
  if (message.renewalMs !== 0) writer.int64(3, message.renewalMs);
  return writer.finish();
}

export function decodeSecretsKey(bytes: Uint8Array): SecretsKey {
  const message: { name: string; madeMs: number; renewalMs: number } = {
    name: '',
    madeMs: 0,
    renewalMs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 16: // field 2
        message.madeMs = reader.int64();
        break;
      case 24: // field 3
        message.renewalMs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export type RotateAuthoritiesRequest = Readonly<Record<string, never>>;

export function encodeRotateAuthoritiesRequest(_message: RotateAuthoritiesRequest): Buffer {
  return new ProtoWriter().finish();
}

export function decodeRotateAuthoritiesRequest(bytes: Uint8Array): RotateAuthoritiesRequest {
  const reader = new ProtoReader(bytes);
  while (reader.next()) reader.skip();
  return {};
}

export interface RotateAuthoritiesResponse {
  /** How far the rotation is. */
  readonly rotation: Rotation | undefined;
}

export function encodeRotateAuthoritiesResponse(message: RotateAuthoritiesResponse): Buffer {
  const writer = new ProtoWriter();
  if (message.rotation !== undefined) writer.bytes(1, encodeRotation(message.rotation));
  return writer.finish();
}

export function decodeRotateAuthoritiesResponse(bytes: Uint8Array): RotateAuthoritiesResponse {
  const message: { rotation: Rotation | undefined } = {
    rotation: undefined,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.rotation = decodeRotation(reader.bytes());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** Rotation is the replacement of the authorities by others. */
export interface Rotation {
  /**
   * `none`; `trusting` while every component is made to trust the new authorities; `settling` while those sign and the
   * old ones are still trusted; `replaced` while every component is given new ones because a wrong clock had issued
   * the old ones.
   */
  readonly phase: string;
  /** The same as a sentence for people. */
  readonly message: string;
}

export function encodeRotation(message: Rotation): Buffer {
  const writer = new ProtoWriter();
  if (message.phase !== '') writer.string(1, message.phase);
  if (message.message !== '') writer.string(2, message.message);
  return writer.finish();
}

export function decodeRotation(bytes: Uint8Array): Rotation {
  const message: { phase: string; message: string } = {
    phase: '',
    message: '',
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.phase = reader.string();
        break;
      case 18: // field 2
        message.message = reader.string();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** Certificate is one certificate of the PKI. Its key is told to nobody. */
export interface Certificate {
  /** Its name in the PKI, such as `apiserver`. */
  readonly name: string;
  /** Whom it names, in one line: `O=system:masters, CN=hamlet:master`. */
  readonly subject: string;
  /** The name of the authority that issued it. */
  readonly issuer: string;
  /** `authority`, `serving` or `client`. */
  readonly usage: string;
  /** Which component or part of Hamlet has it, such as `kube.apiserver`. */
  readonly holder: string;
  /** Its serial number in hex. */
  readonly serial: string;
  /** From when it is valid, in milliseconds since the Unix epoch. */
  readonly notBeforeMs: number;
  /** Until when it is valid. */
  readonly notAfterMs: number;
  /** When the next one is issued; 0 for one that is not renewed by itself. */
  readonly renewalMs: number;
  /** The DNS names and addresses that it serves. */
  readonly names: readonly string[];
}

export function encodeCertificate(message: Certificate): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.subject !== '') writer.string(2, message.subject);
  if (message.issuer !== '') writer.string(3, message.issuer);
  if (message.usage !== '') writer.string(4, message.usage);
  if (message.holder !== '') writer.string(5, message.holder);
  if (message.serial !== '') writer.string(6, message.serial);
  if (message.notBeforeMs !== 0) writer.int64(7, message.notBeforeMs);
  if (message.notAfterMs !== 0) writer.int64(8, message.notAfterMs);
  if (message.renewalMs !== 0) writer.int64(9, message.renewalMs);
  for (const item of message.names) writer.string(10, item);
  return writer.finish();
}

export function decodeCertificate(bytes: Uint8Array): Certificate {
  const message: { name: string; subject: string; issuer: string; usage: string; holder: string; serial: string; notBeforeMs: number; notAfterMs: number; renewalMs: number; names: string[] } = {
    name: '',
    subject: '',
    issuer: '',
    usage: '',
    holder: '',
    serial: '',
    notBeforeMs: 0,
    notAfterMs: 0,
    renewalMs: 0,
    names: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 18: // field 2
        message.subject = reader.string();
        break;
      case 26: // field 3
        message.issuer = reader.string();
        break;
      case 34: // field 4
        message.usage = reader.string();
        break;
      case 42: // field 5
        message.holder = reader.string();
        break;
      case 50: // field 6
        message.serial = reader.string();
        break;
      case 56: // field 7
        message.notBeforeMs = reader.int64();
        break;
      case 64: // field 8
        message.notAfterMs = reader.int64();
        break;
      case 72: // field 9
        message.renewalMs = reader.int64();
        break;
      case 82: // field 10
        message.names.push(reader.string());
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** Condition is one thing about the node that holds or does not. */
export interface Condition {
  /** The name that GetCondition takes. */
  readonly name: string;
  /** `true`, `false`, or `unknown` while nobody has found out. */
  readonly status: string;
  /** One CamelCase word for programs, such as `ProbeFailed`; may be empty while the status is `true`. */
  readonly reason: string;
  /** A sentence for people: what is wrong, or what is waited for. */
  readonly message: string;
  /** When the status last changed, in milliseconds since the Unix epoch. */
  readonly sinceMs: number;
}

export function encodeCondition(message: Condition): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.status !== '') writer.string(2, message.status);
  if (message.reason !== '') writer.string(3, message.reason);
  if (message.message !== '') writer.string(4, message.message);
  if (message.sinceMs !== 0) writer.int64(5, message.sinceMs);
  return writer.finish();
}

export function decodeCondition(bytes: Uint8Array): Condition {
  const message: { name: string; status: string; reason: string; message: string; sinceMs: number } = {
    name: '',
    status: '',
    reason: '',
    message: '',
    sinceMs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 18: // field 2
        message.status = reader.string();
        break;
      case 26: // field 3
        message.reason = reader.string();
        break;
      case 34: // field 4
        message.message = reader.string();
        break;
      case 40: // field 5
        message.sinceMs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface ListRestartsRequest {
  /** The dotted name of a component or of a part of Hamlet, or `hamlet` itself; empty for all. */
  readonly name: string;
  /** How many from the end; 0 means all. */
  readonly tail: number;
}

export function encodeListRestartsRequest(message: ListRestartsRequest): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.tail !== 0) writer.int64(2, message.tail);
  return writer.finish();
}

export function decodeListRestartsRequest(bytes: Uint8Array): ListRestartsRequest {
  const message: { name: string; tail: number } = {
    name: '',
    tail: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 16: // field 2
        message.tail = reader.int32();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export interface ListRestartsResponse {
  /** The restarts, oldest first. */
  readonly restarts: readonly Restart[];
}

export function encodeListRestartsResponse(message: ListRestartsResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.restarts) writer.bytes(1, encodeRestart(item));
  return writer.finish();
}

export function decodeListRestartsResponse(bytes: Uint8Array): ListRestartsResponse {
  const message: { restarts: Restart[] } = {
    restarts: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.restarts.push(decodeRestart(reader.bytes()));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** Restart is one end of something that is kept running, and how it came back. */
export interface Restart {
  /** Counts up, and never repeats on a node. */
  readonly id: number;
  /** What ended, by its dotted name. */
  readonly name: string;
  /** The run that ended, from 1; 0 where runs are not counted or nothing was executed. */
  readonly run: number;
  /** Its process; 0 for a thread and where nothing was executed. */
  readonly pid: number;
  /** When it ended or was given up, in milliseconds since the Unix epoch. */
  readonly atMs: number;
  /**
   * Why, for programs: `exited`, `killed`, `out-of-memory`, `program-missing`, `not-executable`, `wrong-architecture`,
   * `shortage` (there were no descriptors, processes or memory left to start it with), `exec-failed` (it could not be
   * executed for another reason), `probe-failed` (it hung), `start-timeout`, `lost` (it ended while nobody was there to be
   * told how), `outdated` (other settings or credentials), or `error`.
   */
  readonly kind: string;
  /** The exit code; -1 where there is none. */
  readonly code: number;
  /** The signal that ended it; empty where none did. */
  readonly signal: string;
  /** Why, for people. */
  readonly message: string;
  /** The last lines that it wrote, oldest first, each cut to 400 bytes. */
  readonly lastLines: readonly string[];
  /** The restart that brought this one about; 0 where none is known. */
  readonly causeId: number;
  /** What this one brought to its end, by name. */
  readonly tookWith: readonly string[];
  /** What it waited for before it was started again, by name. */
  readonly waitedFor: readonly string[];
  /** When the next try is or was due, in milliseconds since the Unix epoch; 0 while that is not known. */
  readonly nextTryMs: number;
  /** When it was executed again; 0 before. */
  readonly executedMs: number;
  /** When it did its work again; 0 before. */
  readonly healthyMs: number;
}

export function encodeRestart(message: Restart): Buffer {
  const writer = new ProtoWriter();
  if (message.id !== 0) writer.int64(1, message.id);
  if (message.name !== '') writer.string(2, message.name);
  if (message.run !== 0) writer.int64(3, message.run);
  if (message.pid !== 0) writer.int64(4, message.pid);
  if (message.atMs !== 0) writer.int64(5, message.atMs);
  if (message.kind !== '') writer.string(6, message.kind);
  if (message.code !== 0) writer.int64(7, message.code);
  if (message.signal !== '') writer.string(8, message.signal);
  if (message.message !== '') writer.string(9, message.message);
  for (const item of message.lastLines) writer.string(10, item);
  if (message.causeId !== 0) writer.int64(11, message.causeId);
  for (const item of message.tookWith) writer.string(12, item);
  for (const item of message.waitedFor) writer.string(13, item);
  if (message.nextTryMs !== 0) writer.int64(14, message.nextTryMs);
  if (message.executedMs !== 0) writer.int64(15, message.executedMs);
  if (message.healthyMs !== 0) writer.int64(16, message.healthyMs);
  return writer.finish();
}

export function decodeRestart(bytes: Uint8Array): Restart {
  const message: { id: number; name: string; run: number; pid: number; atMs: number; kind: string; code: number; signal: string; message: string; lastLines: string[]; causeId: number; tookWith: string[]; waitedFor: string[]; nextTryMs: number; executedMs: number; healthyMs: number } = {
    id: 0,
    name: '',
    run: 0,
    pid: 0,
    atMs: 0,
    kind: '',
    code: 0,
    signal: '',
    message: '',
    lastLines: [],
    causeId: 0,
    tookWith: [],
    waitedFor: [],
    nextTryMs: 0,
    executedMs: 0,
    healthyMs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 8: // field 1
        message.id = reader.int64();
        break;
      case 18: // field 2
        message.name = reader.string();
        break;
      case 24: // field 3
        message.run = reader.uint32();
        break;
      case 32: // field 4
        message.pid = reader.uint32();
        break;
      case 40: // field 5
        message.atMs = reader.int64();
        break;
      case 50: // field 6
        message.kind = reader.string();
        break;
      case 56: // field 7
        message.code = reader.int32();
        break;
      case 66: // field 8
        message.signal = reader.string();
        break;
      case 74: // field 9
        message.message = reader.string();
        break;
      case 82: // field 10
        message.lastLines.push(reader.string());
        break;
      case 88: // field 11
        message.causeId = reader.int64();
        break;
      case 98: // field 12
        message.tookWith.push(reader.string());
        break;
      case 106: // field 13
        message.waitedFor.push(reader.string());
        break;
      case 112: // field 14
        message.nextTryMs = reader.int64();
        break;
      case 120: // field 15
        message.executedMs = reader.int64();
        break;
      case 128: // field 16
        message.healthyMs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

export type GetBootRequest = Readonly<Record<string, never>>;

export function encodeGetBootRequest(_message: GetBootRequest): Buffer {
  return new ProtoWriter().finish();
}

export function decodeGetBootRequest(bytes: Uint8Array): GetBootRequest {
  const reader = new ProtoReader(bytes);
  while (reader.next()) reader.skip();
  return {};
}

export interface GetBootResponse {
  /** The steps in the order of their ends; those that are not done yet come last. */
  readonly steps: readonly BootStep[];
  /** The names of the steps on which the others had to wait, first to last. */
  readonly criticalPath: readonly string[];
  /** Whether the node has become ready: from then on nothing is added. */
  readonly ready: boolean;
  /** How long Hamlet has been running, in microseconds. */
  readonly nowUs: number;
}

export function encodeGetBootResponse(message: GetBootResponse): Buffer {
  const writer = new ProtoWriter();
  for (const item of message.steps) writer.bytes(1, encodeBootStep(item));
  for (const item of message.criticalPath) writer.string(2, item);
  if (message.ready) writer.bool(3, message.ready);
  if (message.nowUs !== 0) writer.int64(4, message.nowUs);
  return writer.finish();
}

export function decodeGetBootResponse(bytes: Uint8Array): GetBootResponse {
  const message: { steps: BootStep[]; criticalPath: string[]; ready: boolean; nowUs: number } = {
    steps: [],
    criticalPath: [],
    ready: false,
    nowUs: 0,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.steps.push(decodeBootStep(reader.bytes()));
        break;
      case 18: // field 2
        message.criticalPath.push(reader.string());
        break;
      case 24: // field 3
        message.ready = reader.bool();
        break;
      case 32: // field 4
        message.nowUs = reader.int64();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** BootStep is one step of the start. Its times are microseconds since Hamlet's exec. */
export interface BootStep {
  /** A component, a part of Hamlet, or a condition. */
  readonly name: string;
  /** What had to be done before it, by name. */
  readonly waitsFor: readonly string[];
  /** When it began to wait. */
  readonly seenUs: number;
  /** When its start was begun to be prepared; 0 where nobody says. */
  readonly beganUs: number;
  /** When its program was executed; 0 before, and for what is no program. */
  readonly executedUs: number;
  /** When it held: for a component its first good probe; 0 before. */
  readonly doneUs: number;
  /** The same as waits_for, with the time that each took. */
  readonly waits: readonly BootWait[];
}

export function encodeBootStep(message: BootStep): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  for (const item of message.waitsFor) writer.string(2, item);
  if (message.seenUs !== 0) writer.int64(3, message.seenUs);
  if (message.beganUs !== 0) writer.int64(4, message.beganUs);
  if (message.executedUs !== 0) writer.int64(5, message.executedUs);
  if (message.doneUs !== 0) writer.int64(6, message.doneUs);
  for (const item of message.waits) writer.bytes(7, encodeBootWait(item));
  return writer.finish();
}

export function decodeBootStep(bytes: Uint8Array): BootStep {
  const message: { name: string; waitsFor: string[]; seenUs: number; beganUs: number; executedUs: number; doneUs: number; waits: BootWait[] } = {
    name: '',
    waitsFor: [],
    seenUs: 0,
    beganUs: 0,
    executedUs: 0,
    doneUs: 0,
    waits: [],
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 18: // field 2
        message.waitsFor.push(reader.string());
        break;
      case 24: // field 3
        message.seenUs = reader.int64();
        break;
      case 32: // field 4
        message.beganUs = reader.int64();
        break;
      case 40: // field 5
        message.executedUs = reader.int64();
        break;
      case 48: // field 6
        message.doneUs = reader.int64();
        break;
      case 58: // field 7
        message.waits.push(decodeBootWait(reader.bytes()));
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/** BootWait is one thing that a step waited for. */
export interface BootWait {
  /** A step. */
  readonly name: string;
  /** From when the step began to wait for it until it waited no more, or until now; in microseconds. */
  readonly waitedUs: number;
  /** Whether the step waits no more. */
  readonly over: boolean;
}

export function encodeBootWait(message: BootWait): Buffer {
  const writer = new ProtoWriter();
  if (message.name !== '') writer.string(1, message.name);
  if (message.waitedUs !== 0) writer.int64(2, message.waitedUs);
  if (message.over) writer.bool(3, message.over);
  return writer.finish();
}

export function decodeBootWait(bytes: Uint8Array): BootWait {
  const message: { name: string; waitedUs: number; over: boolean } = {
    name: '',
    waitedUs: 0,
    over: false,
  };
  const reader = new ProtoReader(bytes);
  while (reader.next()) {
    switch (reader.tag) {
      case 10: // field 1
        message.name = reader.string();
        break;
      case 16: // field 2
        message.waitedUs = reader.int64();
        break;
      case 24: // field 3
        message.over = reader.bool();
        break;
      default:
        reader.skip();
    }
  }
  return message;
}

/**
 * NodeDebugService answers questions about one node, from the first moment of its start. What is not there yet is
 * UNAVAILABLE, with a message that says what is waited for.
 *
 * It listens on a Unix socket and on loopback, where who calls is known by the user behind the connection, and, where
 * the configuration says so, for other machines, whose clients are known by a certificate. A call that its caller may
 * not make is PERMISSION_DENIED, and one too many RESOURCE_EXHAUSTED.
 */
export const nodeDebugService = {
  /**
   * GetDebugKubeconfig issues a short-lived client certificate for any identity.
   *
   * Every one is on record. INVALID_ARGUMENT for an empty identity or group and for too long a life; PERMISSION_DENIED
   * for whom the node's configuration does not allow; UNAVAILABLE while there is no PKI.
   */
  getDebugKubeconfig: {
    path: '/hamlet.debug.v1.NodeDebugService/GetDebugKubeconfig',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeGetDebugKubeconfigRequest,
    requestDeserialize: decodeGetDebugKubeconfigRequest,
    responseSerialize: encodeGetDebugKubeconfigResponse,
    responseDeserialize: decodeGetDebugKubeconfigResponse,
  },
  /**
   * IssueDebugClient issues a short-lived client certificate for this API, for use from other machines.
   *
   * Every one is on record. It is for callers on the node itself. INVALID_ARGUMENT for a role that there is not, a name
   * of other characters and too long a life; FAILED_PRECONDITION when the node does not listen for other machines.
   */
  issueDebugClient: {
    path: '/hamlet.debug.v1.NodeDebugService/IssueDebugClient',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeIssueDebugClientRequest,
    requestDeserialize: decodeIssueDebugClientRequest,
    responseSerialize: encodeIssueDebugClientResponse,
    responseDeserialize: decodeIssueDebugClientResponse,
  },
  /**
   * GetComponentLogs gives the end of one component's log.
   *
   * A whole ring can be larger than the 4 MiB that gRPC clients take by default: a client either raises its limit
   * for received messages or asks for fewer lines.
   *
   * INVALID_ARGUMENT for an empty path or a negative number of lines; NOT_FOUND, with the names that exist, for a
   * component that has no log.
   */
  getComponentLogs: {
    path: '/hamlet.debug.v1.NodeDebugService/GetComponentLogs',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeGetComponentLogsRequest,
    requestDeserialize: decodeGetComponentLogsRequest,
    responseSerialize: encodeGetComponentLogsResponse,
    responseDeserialize: decodeGetComponentLogsResponse,
  },
  /**
   * StreamComponentLogs gives lines of any components in the order of their arrival: what is held, then what comes.
   *
   * Nothing is twice or missing between the two. What was overwritten before this stream got to it is a record of its
   * own, a gap. After a lost connection, also one to a node that was started again, a client goes on without loss from
   * the positions that it has been told: the first response has one for each log, a record moves its own log's on, and
   * a later response has those that have moved on by more, because their lines were not wanted.
   *
   * INVALID_ARGUMENT for a filter that makes no sense; NOT_FOUND, with the names that exist, for a component that has
   * no log; UNAVAILABLE when a part of the node is started again: go on from the positions.
   */
  streamComponentLogs: {
    path: '/hamlet.debug.v1.NodeDebugService/StreamComponentLogs',
    requestStream: false,
    responseStream: true,
    requestSerialize: encodeStreamComponentLogsRequest,
    requestDeserialize: decodeStreamComponentLogsRequest,
    responseSerialize: encodeStreamComponentLogsResponse,
    responseDeserialize: decodeStreamComponentLogsResponse,
  },
  /**
   * GetCondition tells whether one thing about the node is as it should be.
   *
   * NOT_FOUND, with the names that exist, for an unknown condition.
   */
  getCondition: {
    path: '/hamlet.debug.v1.NodeDebugService/GetCondition',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeGetConditionRequest,
    requestDeserialize: decodeGetConditionRequest,
    responseSerialize: encodeGetConditionResponse,
    responseDeserialize: decodeGetConditionResponse,
  },
  /** ListConditions gives every condition of the node, in the order in which people read them. */
  listConditions: {
    path: '/hamlet.debug.v1.NodeDebugService/ListConditions',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeListConditionsRequest,
    requestDeserialize: decodeListConditionsRequest,
    responseSerialize: encodeListConditionsResponse,
    responseDeserialize: decodeListConditionsResponse,
  },
  /**
   * ListRestarts gives the history of what ended on the node and was started again, oldest first.
   *
   * The node keeps 256 of them, also across its own restarts. NOT_FOUND, with the names that exist, for an unknown name.
   */
  listRestarts: {
    path: '/hamlet.debug.v1.NodeDebugService/ListRestarts',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeListRestartsRequest,
    requestDeserialize: decodeListRestartsRequest,
    responseSerialize: encodeListRestartsResponse,
    responseDeserialize: decodeListRestartsResponse,
  },
  /** GetBoot tells what the node's start consisted of, or what it waits for while it lasts. */
  getBoot: {
    path: '/hamlet.debug.v1.NodeDebugService/GetBoot',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeGetBootRequest,
    requestDeserialize: decodeGetBootRequest,
    responseSerialize: encodeGetBootResponse,
    responseDeserialize: decodeGetBootResponse,
  },
  /** ListIssuedCredentials gives the record of the credentials that were issued or refused, oldest first. */
  listIssuedCredentials: {
    path: '/hamlet.debug.v1.NodeDebugService/ListIssuedCredentials',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeListIssuedCredentialsRequest,
    requestDeserialize: decodeListIssuedCredentialsRequest,
    responseSerialize: encodeListIssuedCredentialsResponse,
    responseDeserialize: decodeListIssuedCredentialsResponse,
  },
  /**
   * ListCertificates gives every certificate of the node's PKI; credentials of debug clients are not among them.
   *
   * UNAVAILABLE while there is no PKI.
   */
  listCertificates: {
    path: '/hamlet.debug.v1.NodeDebugService/ListCertificates',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeListCertificatesRequest,
    requestDeserialize: decodeListCertificatesRequest,
    responseSerialize: encodeListCertificatesResponse,
    responseDeserialize: decodeListCertificatesResponse,
  },
  /**
   * RotateAuthorities begins to replace the authorities of the node's PKI, or says how far that is.
   *
   * It goes on by itself, also after a restart of the node, and is over when AuthoritiesSettled is true again.
   * UNAVAILABLE while there is no PKI.
   */
  rotateAuthorities: {
    path: '/hamlet.debug.v1.NodeDebugService/RotateAuthorities',
    requestStream: false,
    responseStream: false,
    requestSerialize: encodeRotateAuthoritiesRequest,
    requestDeserialize: decodeRotateAuthoritiesRequest,
    responseSerialize: encodeRotateAuthoritiesResponse,
    responseDeserialize: decodeRotateAuthoritiesResponse,
  },
} as const;
