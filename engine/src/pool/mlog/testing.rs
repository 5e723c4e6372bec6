// SPDX-License-Identifier: BSD-3-Clause

//! A medium in memory for tests of logs and of what is built on them.
