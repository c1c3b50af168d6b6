"""The rules of use that a consent is given under: docs/use-policy.md, by the digest of its text."""

SHA256 = "672cfad61da89b3acb926c79d50b486ab94c493fbc619a3610c210a96617e9bc"
"""A test compares it with the file: whoever changes the rules changes this too, and old consents keep the old one."""
