/**
 * Reads a record that this service has written, as JSON, into its own store: its shape is the writer's word.
 * What comes from anywhere else is `unknown`, and is checked.
 */
export const parseRecord: <T>(json: string) => T = JSON.parse
