/* {{VERSION}} */
