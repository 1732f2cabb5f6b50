import { readFileSync } from 'node:fs';
import { rootCertificates } from 'node:tls';
import { OperatorError } from '../errors/errors.ts';

/** One member as it is dialled. `url` is the normal form for logs; it never carries a password. */
export interface Endpoint {
  readonly url: string;
  readonly secure: boolean;
}

/** Files as given on the command line; empty text means "not given", as flannel's flags have it. */
export interface TlsFiles {
  readonly caFile?: string;
  readonly certFile?: string;
  readonly keyFile?: string;
}

/** PEM contents. */
export interface TlsMaterial {
  readonly rootCertificate: Buffer;
  readonly certChain?: Buffer;
  readonly privateKey?: Buffer;
}

const DEFAULT_PORT = 2379;
const ENDPOINT = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^\s/:@[\]?#]+)(?::([0-9]{1,5}))?\/?$/;

/**
 * Reads endpoints: `http://host:port`, `https://...`, `host:port` (http); space around them and a trailing slash are
 * dropped, the port defaults to 2379, empty items are skipped, doubles are dropped.
 * @throws OperatorError `usage`.
 */
export function parseEndpoints(texts: readonly string[]): Endpoint[] {
  const endpoints = new Map<string, Endpoint>();
  for (const text of texts.map((item) => item.trim()).filter((item) => item !== '')) {
    const endpoint = parseEndpoint(text);
    endpoints.set(endpoint.url, endpoint);
  }
  if (endpoints.size === 0) throw new OperatorError('usage', 'etcd-endpoints: no endpoint given');
  return [...endpoints.values()];
}

function parseEndpoint(text: string): Endpoint {
  const match = ENDPOINT.exec(text);
  const port = Number(match?.[3] ?? DEFAULT_PORT);
  if (match?.[2] === undefined || port < 1 || port > 65535) {
    // Not quoted back where it might hold user:password@.
    const shown = text.includes('@') ? 'an endpoint with "@"' : JSON.stringify(text);
    throw new OperatorError('usage', `etcd-endpoints: ${shown} is not http[s]://HOST:PORT`);
  }
  const scheme = match[1] ?? 'http';
  return { url: `${scheme}://${match[2]}:${port}`, secure: scheme === 'https' };
}

/**
 * Reads the TLS files. A CA alone is enough (the server is checked against it); a certificate needs its key and the
 * other way round; without a CA, Node's own root certificates are used.
 * @throws OperatorError `usage` that names the file and what is wrong with it.
 */
export function loadTls(files: TlsFiles): TlsMaterial {
  const { caFile = '', certFile = '', keyFile = '' } = files;
  if ((certFile === '') !== (keyFile === '')) {
    const [given, missing] = certFile === '' ? ['etcd-keyfile', 'etcd-certfile'] : ['etcd-certfile', 'etcd-keyfile'];
    throw new OperatorError('usage', `${given} is given without ${missing}: a client certificate needs both`);
  }
  return {
    rootCertificate: caFile === '' ? Buffer.from(rootCertificates.join('\n')) : readPem('etcd-cafile', caFile),
    ...(certFile === '' ? {} : { certChain: readPem('etcd-certfile', certFile) }),
    ...(keyFile === '' ? {} : { privateKey: readPem('etcd-keyfile', keyFile) }),
  };
}

function readPem(flag: string, path: string): Buffer {
  let content: Buffer;
  try {
    content = readFileSync(path);
  } catch (cause) {
    throw new OperatorError('usage', `${flag}: cannot read ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
      cause,
    });
  }
  if (!content.includes('-----BEGIN ')) throw new OperatorError('usage', `${flag}: ${path} holds no PEM data`);
  return content;
}
