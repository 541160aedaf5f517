module ocify.test/readers

go 1.19
