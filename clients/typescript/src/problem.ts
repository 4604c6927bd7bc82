import { retryAfterMs } from "./retry.js";
import type { Problem, Violation } from "./schema.js";

/** Why a call failed, for programs. */
export type Reason = NonNullable<Problem["reason"]>;

/** An answer that is not a success. Its message is the detail, for people. */
export class ProfileProblem extends Error {
  override readonly name = "ProfileProblem";
  /** The HTTP status. */
  readonly status: number;
  /** Undefined for what HTTP itself says (404 of a path, 405, 413 …) and for answers of proxies. */
  readonly reason: Reason | undefined;
  /** All violations of the request; empty for other reasons. */
  readonly errors: readonly Violation[];
  /** What else the error says; empty when nothing. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Seconds after which the same request may succeed; 0 when the answer does not say. */
  readonly retryAfter: number;
  /** The X-Request-Id of the answer; empty without one. */
  readonly requestId: string;

  constructor(response: Response, body: Partial<Problem>) {
    super(body.detail || body.title || response.statusText || `HTTP ${response.status}`);
    this.status = response.status;
    this.reason = body.reason;
    this.errors = body.errors ?? [];
    this.metadata = body.metadata ?? {};
    this.retryAfter = retryAfterMs(response) / 1000;
    this.requestId = response.headers.get("X-Request-Id") ?? "";
  }
}

/** Reads the problem that an answer tells; an answer of a proxy, without one, has a status only. */
export async function problemOf(response: Response): Promise<ProfileProblem> {
  const told = response.headers.get("Content-Type")?.startsWith("application/problem+json");
  return new ProfileProblem(response, told ? ((await response.json()) as Problem) : {});
}
