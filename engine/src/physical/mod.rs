// SPDX-License-Identifier: BSD-3-Clause

//! The physical zone.
