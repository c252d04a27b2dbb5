/** The port that the service listens on unless PORT says otherwise. */
export const DEFAULT_PORT = 5050
