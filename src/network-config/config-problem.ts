/** One thing that is wrong with a configuration, or worth knowing about it. */
export interface ConfigProblem {
  /** The field, such as `SubnetLen` or `Backend.Port`; '' for the document as a whole. */
  readonly path: string;
  /** What is wrong, where, and what to do; one line. */
  readonly message: string;
}

/** All problems in one line, for the log. */
export function describeProblems(problems: readonly ConfigProblem[]): string {
  return problems.map((problem) => problem.message).join('; ');
}
