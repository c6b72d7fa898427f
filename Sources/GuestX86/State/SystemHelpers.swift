// Bodies of the helpers that need system state.

import Translator

/// Helpers of the system part.
enum SystemHelpers {
    /// The body of a helper; what is not there is an undefined opcode.
    static func body(_ index: HelperIndex) -> HelperFunction { undefined }

    private static let undefined: HelperFunction = { base, _, _, _ in
        X86State(base).leave(vector: ExceptionVector.invalidOpcode)
        return 0
    }
}
